import { z } from 'zod';
import { createDocumentReader } from './features/coingecko-api/document-reader.ts';
import { createDocumentStore, documentId } from './features/coingecko-api/document-store.ts';
import { createMarketReader } from './features/quotes/local-market.ts';
import { createMarketRowStore } from './features/quotes/market-row-store.ts';
import type { Config } from './platform/config/load-config.ts';
import { createChannel } from './platform/redis/channel.ts';
import type { AppDeps } from './app-deps.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Pipeline } from './pipeline.ts';
import type { DocumentRefreshDeps } from '../workers/processors/coingecko-api/refresh-document.ts';
import type { RefreshDeps } from '../workers/processors/upstream/refresh-outcome.ts';

/** What CoinGecko's contract stands on beside quotes, wired: market rows and documents. A composition root like the pipeline. */

interface MirroringRequest {
  readonly config: Pick<Config, 'QUOTE_RETENTION' | 'QUOTE_FRESH_SECONDS'>;
  readonly pipeline: Pipeline;
  readonly log: Logger;
}

type Stores = DocumentRefreshDeps & { readonly rows: ReturnType<typeof createMarketRowStore> };

function buildStores({ config, pipeline }: Pick<MirroringRequest, 'config' | 'pipeline'>) {
  const { redis, subscriber, keys } = pipeline;
  const retentionSeconds = config.QUOTE_RETENTION;
  return {
    rows: createMarketRowStore({ redis, keys, retentionSeconds }),
    documents: createDocumentStore({ redis, keys, retentionSeconds }),
    documentNews: createChannel({ redis, subscriber, channel: keys.documentNews, schema: z.string() }),
  } satisfies Stores;
}

/** The writing side, for workers. */
export function buildMirrorWriting(
  request: Pick<MirroringRequest, 'config' | 'pipeline'>,
): DocumentRefreshDeps & Pick<RefreshDeps, 'rows'> {
  return buildStores(request);
}

/** The reading side, for API processes. */
export function buildMirrorReading(request: MirroringRequest): Pick<AppDeps, 'market' | 'documents'> {
  const { config, pipeline, log } = request;
  const { rows, documents, documentNews } = buildStores(request);
  const { mirror, store, ticks, collect, clock, kick, renew, pendingState, interest } = pipeline;
  const reader = createDocumentReader({
    store: documents,
    news: documentNews,
    clock,
    kick: (wanted) => kick.document(documentId(wanted.path), wanted),
    pendingState,
  });
  ticks.listen({
    onClear: (assetIds) => {
      if (assetIds === null) reader.forget();
    },
  });
  return {
    documents: reader,
    market: createMarketReader({
      mirror,
      store,
      rowStore: rows,
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
