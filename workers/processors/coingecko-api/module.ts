import type { Platform } from '../../../src/platform/platform.ts';
import { createDocumentCache } from '../../../src/features/coingecko-api/coingecko-api-service.ts';
import type { ProcessorsOf } from '../../runtime/processor.ts';
import type { RefreshDeps } from '../upstream/refresh-outcome.ts';
import { refreshDocument } from './refresh-document.ts';

/** The processors of documents, by name of their job. They call a provider, and so belong into the queue `refresh`. */
export function createCoinGeckoApiProcessors(
  platform: Platform,
  upstream: Pick<RefreshDeps, 'provider' | 'gate' | 'demand' | 'charge'>,
): Pick<ProcessorsOf<'refresh'>, 'document.refresh'> {
  const { clock, log, config } = platform;
  const notFoundMs = config.NOT_FOUND_SECONDS * 1000;
  const deps = { ...upstream, ...createDocumentCache(platform), clock, log, notFoundMs };
  return { 'document.refresh': (job, context) => refreshDocument(deps, job, context) };
}
