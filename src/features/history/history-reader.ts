/**
 * How handlers read prices of the past. What is stored is answered at once; what is missing is requested by a job
 * within the budget, and a request waits for it for a limited time, unless only a few points are missing. A point that
 * was not observed is never made up.
 */
import { LRUCache } from 'lru-cache';
import type { HistoryPoint } from '../../domain/history.ts';
import type { CandleQueries } from './queries/candles.ts';
import type { BackfillRequests, SeriesKey } from './queries/history-requests.ts';
import type { JobData } from '../../../jobs/registry.ts';
import { dayMs, joinCandles, type OhlcPart } from './chart.ts';
import { readSpan, chunksOf, type SpanState, type TimeRange } from './history-gaps.ts';
import { granularityMs } from '../../domain/history.ts';
import { requesterText, type Requester } from '../../domain/requester.ts';
import type { Urgency } from '../../domain/quote.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { sleep } from '../../platform/concurrency/sleep.ts';

/** A span of a series; milliseconds since the epoch, both included. */
export interface ChartRead extends SeriesKey {
  readonly from: number;
  readonly to: number;
  /** Longest wait (ms) for missing points. */
  readonly waitMs: number;
  readonly requester?: Requester | undefined;
  /** False: takes what is stored, and requests nothing. */
  readonly asks?: boolean;
}

/** What is known of a span. */
export interface ChartReading {
  readonly points: readonly (HistoryPoint & { readonly openTime: number })[];
  /**
   * `whole`: every point that a provider has. `partial`: some are missing, or may be. `unknown`: the provider does not
   * know the asset.
   */
  readonly state: 'whole' | 'partial' | 'unknown';
  /** The sources refused what is missing: it will not come. */
  readonly isRefused?: boolean;
  /** What is missing is too far back for this granularity: it will not come. */
  readonly isBeyondReach?: boolean;
}

/** Candles by their open time, oldest first, and how many of the span could not be made of what was observed. */
export interface OhlcReading {
  readonly candles: readonly OhlcPart[];
  readonly missing: number;
}

export type HistoryReader = ReturnType<typeof createHistoryReader>;

interface ReaderDeps {
  readonly candles: CandleQueries;
  readonly asks: Pick<BackfillRequests, 'within'>;
  /** Adds a job that requests a piece, unless there is one. */
  readonly enqueue: (wanted: JobData<'history.backfill'>) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Upstream calls that one request causes at most; the next request continues. */
const maxChunks = 2;
/** If less than this share is missing, a request does not wait. */
const littleMissing = 0.1;
const pollIntervalMs = 250;
/** Spans that one process waits for at the same time; further requests take what is stored. */
const maxWaits = 200;

/** Spans that one process fetches for one requester in a minute: each costs a call that others could use. */
const maxRequestsPerMinute = 30;
const minuteMs = 60_000;
/** Requesters that are counted. */
const maxRequesters = 10_000;

/** Prices of the past. Methods throw {@link UnavailableError} when Postgres does not answer. */
export function createHistoryReader(deps: ReaderDeps) {
  const waits = new Map<string, Promise<SpanState>>();
  const requestsOf = new LRUCache<string, { count: number }>({ max: maxRequesters, ttl: minuteMs });
  const { candles, clock } = deps;

  /** Counts a span to be requested; false when it is one too many. */
  function mayAsk(who: Requester | undefined): boolean {
    if (who === undefined) return true;
    const asks = requestsOf.get(who.userId) ?? { count: 0 };
    asks.count++;
    if (asks.count === 1) requestsOf.set(who.userId, asks);
    return asks.count <= maxRequestsPerMinute;
  }

  /** Shared by concurrent requests for the same span. */
  function wait(requested: ChartRead, newest: TimeRange): Promise<SpanState> | undefined {
    const length = granularityMs[requested.granularity];
    const intervals = [requested.from, requested.to].map((at) => Math.floor(at / length));
    const key = [requested.assetId, requested.currency, requested.granularity, ...intervals].join(' ');
    const shared = waits.get(key);
    if (shared !== undefined || waits.size >= maxWaits) return shared;
    const begun = waitForChunk(deps, requested, newest).finally(() => waits.delete(key));
    waits.set(key, begun);
    return begun;
  }

  return {
    /** The observed points of a span, one for each interval that has one. */
    async chart(requested: ChartRead): Promise<ChartReading> {
      let span = await readSpan(deps, requested, { ...requested, now: clock.now() });
      const { range, missing, expected } = span.gaps;
      const wants = range !== undefined && !span.isUnknown && requested.asks !== false;
      if (wants && mayAsk(requested.requester)) {
        const isLittle = span.points.length > 0 && missing <= expected * littleMissing;
        const newest = await ask(deps, requested, {
          range,
          urgency: isLittle ? 'backfill' : 'interactive',
        });
        if (newest !== undefined && !isLittle && requested.waitMs > 0)
          span = (await wait(requested, newest)) ?? span;
      }
      const { gaps, points, isRefused } = span;
      const isBeyondReach = gaps.beyond > 0 && gaps.missing + gaps.barred === 0;
      return { points, state: stateOf(span), isRefused, ...(isBeyondReach ? { isBeyondReach } : {}) };
    },

    /**
     * Candles of what this deployment has observed itself.
     * @param requested.days days back from now.
     * @param requested.lengthMs length of a candle: 30 minutes, 4 hours or 4 days.
     */
    async ohlc({
      assetId,
      currency,
      days,
      lengthMs,
    }: {
      readonly assetId: string;
      readonly currency: string;
      readonly days: number;
      readonly lengthMs: number;
    }): Promise<OhlcReading> {
      const now = clock.now();
      // The candles that longer ones are made of.
      const granularity = lengthMs <= 1_800_000 ? '5m' : lengthMs <= dayMs ? '1h' : '1d';
      const from = now - days * dayMs;
      const seen = await candles.live({ assetId, currency, granularity, from, to: now });
      // A single observation in an hour does not make a candle of that hour.
      const enough = granularityMs[granularity] / granularityMs['5m'];
      const parts = seen.filter(({ openTime, observations }) => {
        const isRunning = openTime + granularityMs[granularity] > now;
        return isRunning || observations >= enough;
      });
      return joinCandles(parts, { from, now, lengthMs, partMs: granularityMs[granularity] });
    },

    dayOf: candles.dayOf,
  };
}

function stateOf({ points, gaps, isUnknown }: SpanState): ChartReading['state'] {
  if (isUnknown && points.length === 0) return 'unknown';
  return gaps.missing + gaps.barred + gaps.beyond === 0 ? 'whole' : 'partial';
}

/**
 * Requests a span, the newest piece first; the older ones are less urgent. Returns the newest; undefined when Redis
 * takes no job.
 */
async function ask(
  { enqueue, clock, log }: ReaderDeps,
  { assetId, currency, granularity, requester: who }: ChartRead,
  { range, urgency }: { readonly range: TimeRange; readonly urgency: Urgency },
): Promise<TimeRange | undefined> {
  const requester = who === undefined ? undefined : requesterText(who);
  const [newest, ...older] = chunksOf(range, {
    granularity,
    now: clock.now(),
    most: maxChunks,
  });
  if (newest === undefined) return undefined;
  const series = { assetId, currency, granularity, requester };
  try {
    await enqueue({ ...series, ...newest, urgency });
    for (const chunk of older) await enqueue({ ...series, ...chunk, urgency: 'backfill' });
    return newest;
  } catch (error) {
    log.debug({ reason: messageOf(error) }, 'missing history could not be requested');
    return undefined;
  }
}

/** Waits until nothing is missing in the newest piece, its request has failed, or the time is over. */
async function waitForChunk(deps: ReaderDeps, requested: ChartRead, newest: TimeRange): Promise<SpanState> {
  const since = performance.now();
  for (;;) {
    const left = requested.waitMs - (performance.now() - since);
    await sleep(Math.max(0, Math.min(left, pollIntervalMs)));
    const span = await readSpan(deps, requested, { ...requested, now: deps.clock.now() });
    const { range } = span.gaps;
    const isFilled = range === undefined || range.to < newest.from;
    if (isFilled || span.isUnknown || left <= pollIntervalMs) return span;
  }
}
