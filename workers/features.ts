/** What accounts, quotes, price sources and the history give workers, wired. A composition root like the main one. */
import { createAssetService } from '../src/features/assets/asset-service.ts';
import { createUsageCounter } from '../src/features/accounts/account-service.ts';
import { createMarketRowStore } from '../src/features/quotes/market-row-store.ts';
import { priceSourceOf } from '../src/platform/config/price-source.ts';
import type { Requester } from '../src/domain/requester.ts';
import type { WorkerParts } from './parts.ts';
import { createCoinGeckoApiProcessors } from './processors/coingecko-api/module.ts';
import { createHistoryMaintenance, createHistoryProcessors } from './processors/history/module.ts';
import { createRequestProcessors } from './processors/quotes/requests.ts';
import { meansToWarm, warmQuotes } from './processors/quotes/warm.ts';
import { checkAssets, createRankNoter } from './processors/upstream/assets.ts';
import { createRefreshProcessors } from './processors/upstream/refresh.ts';
import { checkTier } from './processors/upstream/tier.ts';
import type { WorkerModule } from './runtime/processor.ts';
import { createAggregator } from './threads/aggregate.ts';
import { buildUpstream } from './upstream.ts';

/** Ledger rows are kept for two months (s), so that the month before can be counted too. */
const ledgerRetentionSeconds = 62 * 86_400;

/** Fetches quotes for clients, and keeps those warm that are read. */
export function quotesModule({ config, pipeline, threads, clientRuns }: WorkerParts) {
  const freshMs = config.QUOTE_FRESH_SECONDS * 1000;
  const means = async (withinMs: number) => meansToWarm(await pipeline.budgetStatus(), withinMs);
  return {
    processors: {
      requests: () =>
        createRequestProcessors({
          ...clientRuns(),
          collect: pipeline.collect,
          aggregator: createAggregator(threads),
          deadlineMs: config.JOB_DEADLINE_SECONDS * 1000,
        }),
      upkeep: () => ({
        'quotes.warm': async () => ({
          calls: config.WARMING === 'off' ? 0 : await warmQuotes({ ...pipeline, freshMs, means }),
        }),
      }),
    },
  } satisfies WorkerModule;
}

/** Calls the price sources. */
export function upstreamModule(parts: WorkerParts) {
  const { config, log, pipeline } = parts;
  const { redis, keys, queues, demand, kick, clock, ledger, budget } = pipeline;
  const { list: assets, news: assetNews } = createAssetService(pipeline);
  return {
    processors: {
      refresh: () => {
        const usage = createUsageCounter(pipeline);
        const assetRankPages = config.ASSET_RANK_PAGES;
        const recorder = pipeline.history.openRecorder();
        const upstream = buildUpstream(parts);
        const charge = (who: Requester, share: number): void => usage.calls(who, share);
        const refresh = createRefreshProcessors({
          ...pipeline,
          observe: (quotes) => recorder.observe(quotes),
          ...upstream,
          rows: createMarketRowStore({ redis, keys, retentionSeconds: config.QUOTE_RETENTION }),
          assets,
          assetNews,
          assetRankPages,
          noteRanking: createRankNoter({ assets, assetNews, assetRankPages, kick, clock, log }),
          notFoundMs: config.NOT_FOUND_SECONDS * 1000,
          charge,
        });
        return {
          ...refresh,
          ...createHistoryProcessors(pipeline, { ...pipeline, ...upstream, charge }),
          ...createCoinGeckoApiProcessors(pipeline, { ...upstream, demand, charge }),
        };
      },
      upkeep: () => {
        // Only paid plans of CoinGecko tell their limits.
        const tellsLimits = config.COINGECKO_PLAN === 'pro' && priceSourceOf(config).provider === 'coingecko';
        const attemptKey = keys.tierAsked(budget.key);
        const toldAgoMs = () => ledger.toldAgoMs(budget.key);
        return {
          'assets.check': async () => ({
            kicked: config.ASSET_LIST === 'daily' && (await checkAssets({ assets, kick })),
          }),
          'tier.check': async () => ({
            kicked: tellsLimits && (await checkTier({ redis, queues, attemptKey, toldAgoMs })),
          }),
        };
      },
    },
    purges: [() => ledger.purge(new Date(clock.now() - ledgerRetentionSeconds * 1000))],
  } satisfies WorkerModule;
}

/** Keeps candles in order. */
export function historyModule({ pipeline }: WorkerParts) {
  return {
    processors: { upkeep: () => createHistoryMaintenance(pipeline, pipeline) },
  } satisfies WorkerModule;
}
