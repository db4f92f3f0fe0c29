/** What of a span of history is stored, what is missing, and how a provider is asked for it. */
import { callSpanMs, dayMs, fineReachMs, graceMs, nowSlackMs } from './chart.ts';
import { granularityMs, type Granularity } from '../../domain/history.ts';
import type { CandleQueries } from './queries/candles.ts';
import type { BackfillRequest, BackfillRequests, SeriesKey } from './queries/history-requests.ts';

/** A stretch of time; milliseconds since the epoch, both included. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Compares the points of a span with the intervals that should have one. An interval in which a provider has answered that it
 * has nothing is not expected: the asset may not have existed, or nobody traded it. But what lies too far back to be had at this
 * granularity is missing, whatever was answered: it was never asked for, or has been deleted since.
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
  /** Intervals without a point that a provider could still fill. */
  readonly missing: number;
  /** From the first to the last missing interval; undefined when none is. */
  readonly range: TimeRange | undefined;
  /** Intervals without a point that need not be asked for now: asking failed or was refused a moment ago. */
  readonly barred: number;
  /** Intervals without a point that no provider fills any more, because they lie too far back for this granularity. */
  readonly beyond: number;
} {
  const length = granularityMs[granularity];
  const grace = graceMs[granularity];
  const known = new Set(present);
  const last = Math.floor(Math.min(to, now - grace) / length) * length;
  const reach = granularity === '5m' ? now - fineReachMs : -Infinity;
  // Who asks for all that can be had may be a little late.
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
    // What is newer than may be expected comes with it.
    end = begin === last ? Math.max(begin + length - 1, Math.min(to, now)) : begin + length - 1;
  }
  return { expected, missing, barred, beyond, range: missing === 0 ? undefined : { from: first, to: end } };
}

/** Free plans of CoinGecko reach back so many days. */
export const freeReachDays = 365;
/** The same in ms, less a minute for the way of a call. */
const freeReachMs = freeReachDays * dayMs - 60_000;

/**
 * Cuts a stretch into pieces that one upstream call brings, the newest first. Each is as long as a call can bring for its price,
 * though it may begin before the stretch; but none straddles the moment that free plans reach back to, because those refuse such
 * a piece as a whole.
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
 * Looks at a span (ms since the epoch) of a series.
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
    /** All that is missing was refused: to ask again now would bring the same answer. */
    isRefused: isBarred && outcomes.has('refused') && !outcomes.has('failed'),
  };
}
