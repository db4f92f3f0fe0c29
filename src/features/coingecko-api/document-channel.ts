import type { Redis } from 'ioredis';

/**
 * Says that a document, or why there is none, is in the cache. News may be lost: who waits looks again by himself.
 */
export interface DocumentNews {
  publish(id: string): Promise<void>;
  /** Calls back when a document has come; returns how to stop. Nothing is heard before the first listener. */
  listen(onDocument: (id: string) => void): () => void;
}

interface NewsDeps {
  readonly redis: Redis;
  /** Connection that news arrive on. */
  readonly subscriber: Redis;
  readonly channel: string;
}

/** Builds the {@link DocumentNews} of a process. */
export function createDocumentNews({ redis, subscriber, channel }: NewsDeps): DocumentNews {
  const listeners = new Set<(id: string) => void>();
  let subscribed = false;

  function subscribe(): void {
    if (subscribed) return;
    subscribed = true;
    const ask = (): void => void subscriber.subscribe(channel).catch(() => undefined);
    subscriber.on('ready', ask);
    if (subscriber.status === 'ready') ask();
    subscriber.on('message', (from: string, id: string) => {
      if (from === channel) for (const each of listeners) each(id);
    });
  }

  return {
    async publish(id) {
      await redis.publish(channel, id);
    },
    listen(onDocument) {
      subscribe();
      listeners.add(onDocument);
      return () => listeners.delete(onDocument);
    },
  };
}
