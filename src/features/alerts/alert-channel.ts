import type { Redis } from 'ioredis';
import { parseMessage } from '../../platform/redis/parse-message.ts';

/**
 * Tells evaluators which alerts have changed, and streams whose alerts have fired. Loss is harmless: both look for themselves
 * every few seconds.
 */
export interface AlertNews {
  changed(alertIds: readonly string[]): Promise<void>;
  fired(userIds: readonly string[]): Promise<void>;
  /** Returns how to stop. */
  listen(listener: AlertListener): () => void;
}

export interface AlertListener {
  onChanged?(alertIds: readonly string[]): void;
  onFired?(userIds: readonly string[]): void;
  /** The connection stands (again): news may have been missed. */
  onGap?(): void;
}

interface NewsDeps {
  readonly redis: Redis;
  /** A subscriber connection, which may be shared with other channels. */
  readonly subscriber: Redis;
  readonly channel: string;
}

/** Builds the {@link AlertNews}. */
export function createAlertNews({ redis, subscriber, channel }: NewsDeps): AlertNews {
  const listeners = new Set<AlertListener>();
  let isSubscribed = false;

  /** Processes that listen to nothing need not hear anything. */
  function subscribe(): void {
    if (isSubscribed) return;
    isSubscribed = true;
    const ask = async (): Promise<void> => {
      await subscriber.subscribe(channel);
      for (const each of listeners) each.onGap?.();
    };
    const whenReady = (): void => void ask().catch(() => undefined);
    subscriber.on('ready', whenReady);
    if (subscriber.status === 'ready') whenReady();
    subscriber.on('message', (from: string, text: string) => {
      const message = from === channel ? parseMessage(text) : undefined;
      if (message !== undefined) deliver(message);
    });
  }

  function deliver(message: { readonly changed?: unknown; readonly fired?: unknown }): void {
    const changed = idsOf(message.changed);
    const fired = idsOf(message.fired);
    for (const each of listeners) {
      if (changed.length > 0) each.onChanged?.(changed);
      if (fired.length > 0) each.onFired?.(fired);
    }
  }

  return {
    async changed(alertIds) {
      await redis.publish(channel, JSON.stringify({ changed: alertIds }));
    },
    async fired(userIds) {
      await redis.publish(channel, JSON.stringify({ fired: userIds }));
    },
    listen(listener) {
      listeners.add(listener);
      subscribe();
      return () => listeners.delete(listener);
    },
  };
}

function idsOf(given: unknown): readonly string[] {
  return Array.isArray(given) ? given.filter((each): each is string => typeof each === 'string') : [];
}
