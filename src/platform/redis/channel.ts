import type { Redis } from 'ioredis';
import type { z } from 'zod';

/**
 * One pub/sub channel of the deployment. Redis may lose published messages (it keeps nothing for absent subscribers), so
 * nothing may depend on a message alone: listeners also poll now and then, or at least after a gap.
 */
export interface Channel<T> {
  /** Rejects when Redis does not answer. */
  publish(message: T): Promise<void>;
  /**
   * Calls `onMessage` with every message from now on, and `onGap` when the subscription stands: for the first time, and again
   * after the connection was lost, when messages may have been missed. Nothing is heard before the first listener.
   * @returns how to stop.
   */
  listen(onMessage: (message: T) => void, onGap?: () => void): () => void;
}

/** The place of a channel: the connection for publishing, the (shared) connection for receiving, its name. */
export interface ChannelPlace {
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly channel: string;
}

/**
 * Builds a {@link Channel}. Messages travel as JSON. A message that does not match the schema is ignored, because a stray
 * publish must not end the process; a codec defines how a message travels. Without a schema every JSON object is accepted
 * unchecked: for a hot channel, on which only we publish.
 */
export function createChannel<T>({
  redis,
  subscriber,
  channel,
  schema,
}: ChannelPlace & { readonly schema?: z.ZodType<T> }): Channel<T> {
  const listeners = new Set<{ readonly onMessage: (message: T) => void; readonly onGap?: () => void }>();
  let isSubscribed = false;

  function subscribe(): void {
    if (isSubscribed) return;
    isSubscribed = true;
    const ask = async (): Promise<void> => {
      await subscriber.subscribe(channel);
      for (const { onGap } of listeners) onGap?.();
    };
    // ioredis subscribes again by itself after a reconnect; saying it once more is harmless and tells us when it stands.
    const whenReady = (): void => void ask().catch(() => undefined);
    subscriber.on('ready', whenReady);
    if (subscriber.status === 'ready') whenReady();
    subscriber.on('message', (from: string, text: string) => {
      if (from !== channel) return;
      const message = parse(text);
      if (message !== undefined) for (const { onMessage } of listeners) onMessage(message.it);
    });
  }

  function parse(text: string): { readonly it: T } | undefined {
    let given: unknown;
    try {
      given = JSON.parse(text);
    } catch {
      return undefined;
    }
    if (schema === undefined)
      return typeof given === 'object' && given !== null ? { it: given as T } : undefined;
    const { success, data } = schema.safeParse(given);
    return success ? { it: data } : undefined;
  }

  return {
    async publish(message) {
      await redis.publish(channel, JSON.stringify(schema === undefined ? message : schema.encode(message)));
    },
    listen(onMessage, onGap) {
      const listener = { onMessage, ...(onGap === undefined ? {} : { onGap }) };
      listeners.add(listener);
      subscribe();
      return () => listeners.delete(listener);
    },
  };
}
