/** Documents of CoinGecko: where they lie, and how handlers read them. */
import { z } from 'zod';
import type { Platform } from '../../platform/platform.ts';
import { createChannel } from '../../platform/redis/channel.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import { DocumentReader } from './document-reader.ts';
import { createDocumentStore, documentId } from './document-store.ts';

/** The documents in Redis, and the channel that says which of them, or why there is none, has come. News may be lost. */
export function createDocumentCache({
  config,
  clock,
  redis,
  subscriber,
  keys,
}: Pick<Platform, 'config' | 'clock' | 'redis' | 'subscriber' | 'keys'>) {
  return {
    documents: createDocumentStore({ redis, clock, keys, retentionSeconds: config.QUOTE_STALE_TTL }),
    documentChannel: createChannel({ redis, subscriber, channel: keys.documentChannel, schema: z.string() }),
  };
}

/** What an API process reads documents with. */
export function createCoinGeckoApiService(
  platform: Pick<Platform, 'config' | 'clock' | 'redis' | 'subscriber' | 'keys'>,
  { ticks, enqueue, pendingState }: Pick<QuoteService, 'ticks' | 'enqueue' | 'pendingState'>,
) {
  const { documents: store, documentChannel: channel } = createDocumentCache(platform);
  const documents = new DocumentReader({
    store,
    channel,
    clock: platform.clock,
    enqueue: (wanted) => enqueue.document(documentId(wanted.path), wanted),
    pendingState,
  });
  ticks.listen({
    onClear: (assetIds) => {
      if (assetIds === null) documents.forget();
    },
  });
  return { documents };
}
