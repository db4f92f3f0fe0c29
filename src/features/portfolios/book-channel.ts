import type { Redis } from 'ioredis';
import { parseMessage } from '../../platform/redis/parse-message.ts';

/** Tells all processes that the derived tables of a portfolio are current again. Loss is harmless: who waits also looks. */
export interface BookNews {
  publish(portfolioId: string): Promise<void>;
  /** Returns how to stop. */
  listen(onBooked: (portfolioId: string) => void): () => void;
}

interface NewsDeps {
  readonly redis: Redis;
  /** A subscriber connection, which may be shared with other channels. */
  readonly subscriber: Redis;
  readonly channel: string;
}

/** Builds the {@link BookNews}. */
export function createBookNews({ redis, subscriber, channel }: NewsDeps): BookNews {
  const listeners = new Set<(portfolioId: string) => void>();
  const subscribe = (): void => void subscriber.subscribe(channel).catch(() => undefined);
  subscriber.on('ready', subscribe);
  if (subscriber.status === 'ready') subscribe();
  subscriber.on('message', (from: string, text: string) => {
    const message = from === channel ? parseMessage(text) : undefined;
    const portfolioId = (message as { readonly booked?: unknown } | undefined)?.booked;
    if (typeof portfolioId !== 'string') return;
    for (const each of listeners) each(portfolioId);
  });
  return {
    async publish(portfolioId) {
      await redis.publish(channel, JSON.stringify({ booked: portfolioId }));
    },
    listen(onBooked) {
      listeners.add(onBooked);
      return () => listeners.delete(onBooked);
    },
  };
}
