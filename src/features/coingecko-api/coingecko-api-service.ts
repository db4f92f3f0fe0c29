/** Documents of CoinGecko: where they are stored, and how handlers read them. */
import { z } from 'zod';
import type { Platform } from '../../platform/platform.ts';
import { createChannel } from '../../platform/redis/channel.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import { PassthroughReader } from './passthrough-reader.ts';
import { createPassthroughStore, passthroughId } from './passthrough-store.ts';

/** The documents in Redis, and the channel that announces which have arrived or failed. Its messages may be lost. */
export function createPassthroughCache({
  config,
  clock,
  redis,
  subscriber,
  keys,
}: Pick<Platform, 'config' | 'clock' | 'redis' | 'subscriber' | 'keys'>) {
  return {
    documents: createPassthroughStore({ redis, clock, keys, retentionSeconds: config.QUOTE_STALE_TTL }),
    passthroughChannel: createChannel({
      redis,
      subscriber,
      channel: keys.passthroughChannel,
      schema: z.string(),
    }),
  };
}

/** Readers of documents for an API process. */
export function createCoinGeckoApiService(
  platform: Pick<Platform, 'config' | 'clock' | 'redis' | 'subscriber' | 'keys'>,
  { ticks, enqueue, pendingState }: Pick<QuoteService, 'ticks' | 'enqueue' | 'pendingState'>,
) {
  const { documents: store, passthroughChannel: channel } = createPassthroughCache(platform);
  const documents = new PassthroughReader({
    store,
    channel,
    clock: platform.clock,
    enqueue: (wanted) => enqueue.document(passthroughId(wanted.path), wanted),
    pendingState,
  });
  ticks.listen({
    onClear: (assetIds) => {
      if (assetIds === null) documents.forget();
    },
  });
  return { documents };
}
