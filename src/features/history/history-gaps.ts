/** Which points of a span of history are stored, which are missing, and how a provider is asked for them. */
import { callSpanMs, dayMs, fineReachMs, graceMs, nowSlackMs } from './chart.ts';
import { granularityMs, type Granularity } from '../../domain/history.ts';
import type { CandleQueries } from './queries/candles.ts';
import type { BackfillRequest, BackfillRequests, SeriesKey } from './queries/history-requests.ts';

/** A span of time in milliseconds since the epoch, both ends included. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Compares the points of a span with the intervals that should have one. An interval for which a provider has answered
 * that it has nothing is not expected to have one: the asset may not have existed, or was not traded. But an interval
 * too far back for this granularity is missing, whatever was answered: it was never requested, or has been deleted
 * since.
 */
export function findGaps({
  from,
  to,
  now,
  granularity,
  present,
  requested,
}: {
  readonly from: number;
  readonly to: number;
  readonly now: number;
  readonly granularity: Granularity;
  /** Starts of the intervals that have a point. */
  readonly present: Iterable<number>;
  readonly requested: readonly BackfillRequest[];
}): {
  /** Intervals in which a point may be expected. */
  readonly expected: number;
  /** Intervals without a point that a provider may still fill. */
  readonly missing: number;
  /** From the first to the last missing interval; undefined when none is. */
  readonly range: TimeRange | undefined;
  /** Intervals without a point that are not worth a request now: the last one failed or was refused a moment ago. */
  readonly barred: number;
  /** Intervals without a point that no provider fills any more, because they are too far back for this granularity. */
  readonly beyond: number;
} {
  const length = granularityMs[granularity];
  const grace = graceMs[granularity];
  const known = new Set(present);
  const last = Math.floor(Math.min(to, now - grace) / length) * length;
  const reach = granularity === '5m' ? now - fineReachMs : -Infinity;
  // A request for everything that exists may arrive a little late.
  const edge = now - dayMs - nowSlackMs;
  let [expected, missing, barred, beyond] = [0, 0, 0, 0];
  let [first, end] = [Infinity, -Infinity];
  for (let begin = Math.ceil(from / length) * length; begin <= last; begin += length) {
    if (known.has(begin)) {
      expected++;
      continue;
    }
    if (begin < reach) {
      if (begin < edge) beyond++;
      continue;
    }
    const before = requested.filter(
      (ask) => ask.from <= begin && ask.to >= begin + Math.min(grace, length - 1),
    );
    if (before.some(({ outcome }) => outcome === 'answered')) continue;
    expected++;
    if (before.length > 0) {
      barred++;
      continue;
    }
    missing++;
    first = Math.min(first, begin);
    // Intervals too recent to be expected are requested along with the others.
    end = begin === last ? Math.max(begin + length - 1, Math.min(to, now)) : begin + length - 1;
  }
  return { expected, missing, barred, beyond, range: missing === 0 ? undefined : { from: first, to: end } };
}

/** How far back (days) the free plans of CoinGecko go. */
export const freeReachDays = 365;
/** The same in ms, less a minute for the time of a call. */
const freeReachMs = freeReachDays * dayMs - 60_000;

/**
 * Cuts a span into pieces of one upstream call each, the newest first. Each piece is as long as a call allows, and may
 * start before the span; but none contains the moment up to which free plans go back, because they refuse such a piece
 * as a whole.
 */
export function chunksOf(
  { from, to }: TimeRange,
  {
    granularity,
    now,
    most,
  }: { readonly granularity: Granularity; readonly now: number; readonly most: number },
): readonly TimeRange[] {
  const chunks: TimeRange[] = [];
  const span = callSpanMs[granularity];
  const reach = now - freeReachMs;
  let end = to;
  while (end >= from && chunks.length < most) {
    const longest = Math.max(0, end - span + 1);
    const begin = end > reach ? Math.max(longest, reach) : longest;
    chunks.push({ from: begin, to: end });
    end = begin - 1;
  }
  return chunks;
}

/** What is stored of a span, and what of it is missing. */
export type SpanState = Awaited<ReturnType<typeof readSpan>>;

/**
 * Compares a span (ms since the epoch) of a series with what is stored.
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function readSpan(
  {
    candles,
    asks,
  }: { readonly candles: Pick<CandleQueries, 'points'>; readonly asks: Pick<BackfillRequests, 'within'> },
  series: SeriesKey,
  { from, to, now }: TimeRange & { readonly now: number },
) {
  const { assetId, currency, granularity } = series;
  const [points, requested] = await Promise.all([
    candles.points({ assetId, currency, granularity, from, to }),
    asks.within(series, { from, to }),
  ]);
  const present = points.map(({ openTime }) => openTime);
  const gaps = findGaps({ from, to, now, granularity, present, requested });
  const outcomes = new Set(requested.map(({ outcome }) => outcome));
  const isBarred = gaps.missing === 0 && gaps.barred > 0;
  return {
    points,
    gaps,
    /** The provider has said that it does not know the asset. */
    isUnknown: outcomes.has('unknown'),
    /** Everything that is missing was refused: another request now would get the same answer. */
    isRefused: isBarred && outcomes.has('refused') && !outcomes.has('failed'),
  };
}
