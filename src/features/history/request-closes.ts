/**
 * Asks for daily prices that something lacked, when they are lacking for long: without haste, so that they are there the next
 * time. How much one question may cause is bounded, and what a provider has answered before is not asked for again.
 */
import type { CandleQueries } from './queries/candles.ts';
import type { BackfillRequests } from './queries/history-requests.ts';
import type { JobData } from '../../../jobs/registry.ts';
import { readSpan, chunksOf } from './history-gaps.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

/** Prices that somebody lacked in a span. */
export interface LackingCloses {
  readonly currency: string;
  /** Milliseconds since the epoch, both included. */
  readonly from: number;
  readonly to: number;
  /** Assets, and how many days of each were lacking. */
  readonly lacking: readonly { readonly assetId: string; readonly days: number }[];
  /** Who is charged for the calls (src/domain/requester.ts). */
  readonly requester: string | undefined;
}

/** Fewer lacking days are no long stretch: exports and providers leave out single days. */
const leastDays = 7;
/** Assets that one question asks for: each costs an upstream call. */
const mostAssets = 5;

/** Returns a function that asks for lacking closes and returns the assets that were asked for. It never rejects. */
export function createRequestCloses({
  candles,
  asks,
  enqueue,
  clock,
  log,
}: {
  readonly candles: Pick<CandleQueries, 'points'>;
  readonly asks: Pick<BackfillRequests, 'within'>;
  /** Makes sure that a job asks for a piece. */
  readonly enqueue: (wanted: JobData<'history.backfill'>) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}) {
  /** The newest piece of what is missing; the next time an older one. */
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
      .filter(({ days }) => days >= leastDays)
      .sort((a, b) => b.days - a.days)
      .slice(0, mostAssets);
    const requested: string[] = [];
    try {
      for (const { assetId } of worst) if (await requestClose(wanted, assetId)) requested.push(assetId);
    } catch (error) {
      log.debug({ reason: messageOf(error) }, 'missing past prices could not be requested');
    }
    return requested;
  };
}
