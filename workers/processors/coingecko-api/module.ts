import type { Platform } from '../../../src/platform/platform.ts';
import { createPassthroughCache } from '../../../src/features/coingecko-api/coingecko-api-service.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import type { RefreshDeps } from '../upstream/refresh-outcome.ts';
import { refreshDocument } from './refresh-document.ts';

/** Processors of CoinGecko documents: the job that fetches one. */
export function createCoinGeckoApiProcessors(
  platform: Platform,
  /** Opened if `refresh` is served. */
  sources: () => Pick<RefreshDeps, 'provider' | 'limiter' | 'demand' | 'charge'>,
) {
  const { clock, log, config } = platform;
  return {
    processors: {
      refresh: () => {
        const notFoundMs = config.NEGATIVE_CACHE_TTL * 1000;
        const deps = { ...sources(), ...createPassthroughCache(platform), clock, log, notFoundMs };
        return { 'document.refresh': (job, context) => refreshDocument(deps, job, context) };
      },
    },
  } satisfies WorkerModule;
}
