import { createCoinGeckoApiService } from './features/coingecko-api/coingecko-api-service.ts';
import { createMarketReader } from './features/quotes/local-market.ts';
import { createMarketRowStore } from './features/quotes/market-row-store.ts';
import type { AppDeps } from './app-deps.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Pipeline } from './pipeline.ts';

/** What CoinGecko's contract stands on beside quotes, wired: market rows and documents. A composition root like the pipeline. */
export function buildMirrorReading({
  pipeline,
  log,
}: {
  readonly pipeline: Pipeline;
  readonly log: Logger;
}): Pick<AppDeps, 'market' | 'documents'> {
  const { config, redis, keys, mirror, store, ticks, collect, clock, kick, renew, interest } = pipeline;
  return {
    ...createCoinGeckoApiService(pipeline, pipeline),
    market: createMarketReader({
      mirror,
      store,
      rowStore: createMarketRowStore({ redis, keys, retentionSeconds: config.QUOTE_RETENTION }),
      ticks,
      collect,
      clock,
      log,
      freshMs: config.QUOTE_FRESH_SECONDS * 1000,
      renew,
      reads: interest,
      kickRanking: (currency, page) => kick.markets(currency, { page }),
    }),
  };
}
