import type { Redis } from 'ioredis';
import { parseMessage } from '../../platform/redis/parse-message.ts';

/** A revocation as it travels. Loss is harmless: every process reads them from the database too. */
export interface RevocationMessage {
  readonly kind: 'session' | 'user' | 'key';
  readonly subject: string;
  readonly generation: number | null;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** Tells all processes at once that credentials are void. */
export interface RevocationChannel {
  publish(revocations: readonly RevocationMessage[]): Promise<void>;
  listen(onRevocations: (revocations: readonly RevocationMessage[]) => void): void;
}

interface ChannelDeps {
  readonly redis: Redis;
  /** A subscriber connection, which may be shared with other channels. */
  readonly subscriber: Redis;
  readonly channel: string;
}

/** Builds the {@link RevocationChannel}. */
export function createRevocationChannel({ redis, subscriber, channel }: ChannelDeps): RevocationChannel {
  return {
    async publish(revocations) {
      await redis.publish(channel, JSON.stringify({ revocations }));
    },
    listen(onRevocations) {
      const subscribe = (): void => void subscriber.subscribe(channel).catch(() => undefined);
      subscriber.on('ready', subscribe);
      if (subscriber.status === 'ready') subscribe();
      subscriber.on('message', (from: string, text: string) => {
        const message = from === channel ? parseMessage(text) : undefined;
        if (message !== undefined)
          onRevocations((message as { revocations: readonly RevocationMessage[] }).revocations);
      });
    },
  };
}
