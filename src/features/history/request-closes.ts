/**
 * Requests daily prices that a calculation lacked, if they are lacking for long spans: without urgency, so that they
 * exist the next time. A single call requests a limited number, and what a provider has answered before is not
 * requested again.
 */
import type { CandleQueries } from './queries/candles.ts';
import type { BackfillRequests } from './queries/history-requests.ts';
import type { JobData } from '../../../jobs/registry.ts';
import { readSpan, chunksOf } from './history-gaps.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

/** Prices that were lacking in a span. */
export interface LackingCloses {
  readonly currency: string;
  /** Milliseconds since the epoch, both included. */
  readonly from: number;
  readonly to: number;
  /** Assets, and how many days of each were lacking. */
  readonly lacking: readonly { readonly assetId: string; readonly days: number }[];
  /** The requester who is charged for the calls (src/domain/requester.ts). */
  readonly requester: string | undefined;
}

/** Fewer lacking days are not requested: exports and providers leave out single days. */
const minDays = 7;
/** Assets requested at once: each costs an upstream call. */
const maxAssets = 5;

/** Returns a function that requests lacking closes and returns the assets that were requested. It never rejects. */
export function createRequestCloses({
  candles,
  asks,
  enqueue,
  clock,
  log,
}: {
  readonly candles: Pick<CandleQueries, 'points'>;
  readonly asks: Pick<BackfillRequests, 'within'>;
  /** Adds a job that requests a piece, unless there is one. */
  readonly enqueue: (wanted: JobData<'history.backfill'>) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}) {
  /** The newest piece of what is missing; older ones the next time. */
  async function requestClose(
    { currency, from, to, requester }: LackingCloses,
    assetId: string,
  ): Promise<boolean> {
    const series = { assetId, currency, granularity: '1d' } as const;
    const now = clock.now();
    const { gaps, isUnknown } = await readSpan({ candles, asks }, series, { from, to, now });
    if (isUnknown || gaps.range === undefined) return false;
    const [chunk] = chunksOf(gaps.range, { granularity: '1d', now, most: 1 });
    if (chunk === undefined) return false;
    await enqueue({
      ...series,
      ...chunk,
      urgency: 'backfill',
      ...(requester === undefined ? {} : { requester }),
    });
    return true;
  }

  return async (wanted: LackingCloses): Promise<readonly string[]> => {
    const worst = wanted.lacking
      .filter(({ days }) => days >= minDays)
      .sort((a, b) => b.days - a.days)
      .slice(0, maxAssets);
    const requested: string[] = [];
    try {
      for (const { assetId } of worst) if (await requestClose(wanted, assetId)) requested.push(assetId);
    } catch (error) {
      log.debug({ reason: messageOf(error) }, 'missing past prices could not be requested');
    }
    return requested;
  };
}
