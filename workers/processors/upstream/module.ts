/** Processors of jobs that call the price sources, and of the checks that enqueue them. */
import type { AssetService } from '../../../src/features/assets/asset-service.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { UpstreamService } from '../../../src/features/upstream/upstream-service.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import { checkAssets, createRankNoter, refreshAssets } from './assets.ts';
import { refreshMarkets } from './refresh-markets.ts';
import type { RefreshDeps } from './refresh-outcome.ts';
import { refreshQuotes } from './refresh-quotes.ts';
import { checkTier, refreshTier } from './tier.ts';

/** Ledger rows are kept for two months (s), so that the previous month can be counted too. */
const callLogRetentionSeconds = 62 * 86_400;

/**
 * Processors of the price sources: the jobs that call them, and the checks that enqueue these.
 * @throws {Error} for a source that cannot be used as configured, when `refresh` is served.
 */
export function createUpstreamProcessors(
  { config, clock, log, redis, queues, keys }: Platform,
  {
    quotes,
    upstream,
    assets,
    callbacks,
  }: {
    readonly quotes: QuoteService;
    readonly upstream: UpstreamService;
    readonly assets: Pick<AssetService, 'list' | 'channel'>;
    /** What later features, and accounts, do with a refresh; opened if `refresh` is served. */
    readonly callbacks: () => Pick<RefreshDeps, 'charge' | 'observe'>;
  },
) {
  const { demand, store, rowStore, publisher, guard, enqueue, freshMs } = quotes;
  const { budget, callLog, reportsLimits } = upstream;
  const oldest = (): Date => new Date(clock.now() - callLogRetentionSeconds * 1000);
  return {
    processors: {
      refresh: () => {
        const open = upstream.openSources();
        const refreshing = {
          assets: assets.list,
          assetChannel: assets.channel,
          enqueue,
          assetRankPages: config.ASSET_RANK_PAGES,
          clock,
          log,
        };
        const deps: RefreshDeps = {
          ...open,
          ...callbacks(),
          demand,
          store,
          rowStore,
          publisher,
          guard,
          enqueue,
          freshMs,
          clock,
          log,
          notFoundMs: config.NEGATIVE_CACHE_TTL * 1000,
          listed: async (ids) => new Set((await assets.list.identities(ids)).map(({ assetId }) => assetId)),
          noteRanking: createRankNoter(refreshing),
        };
        return {
          'quotes.refresh': (job, context) => refreshQuotes(deps, job, context),
          'markets.refresh': (job, context) => refreshMarkets(deps, job, context),
          'tier.refresh': (_job, context) => refreshTier({ ...open, budget, log }, context),
          'assets.refresh': (_job, context) => refreshAssets({ ...open, ...refreshing }, context),
        };
      },
      maintenance: () => ({
        'calls.sum': async (_job, { waitSignal }) => {
          let hours = 0;
          while (!waitSignal.aborted && (await callLog.sumHour())) hours++;
          return { hours };
        },
        'assets.check': async () => ({
          enqueued: config.ASSET_SYNC === 'daily' && (await checkAssets({ assets: assets.list, enqueue })),
        }),
        'tier.check': async () => ({
          enqueued:
            reportsLimits &&
            (await checkTier({
              redis,
              queues,
              attemptKey: keys.tierAttempt(budget.key),
              reportedAgoMs: () => callLog.reportedAgoMs(budget.key),
            })),
        }),
      }),
    },
    retentions: {
      'calls.purge': { calls: () => callLog.purge(oldest()), sums: () => callLog.purgeSums(oldest()) },
    },
  } satisfies WorkerModule;
}
