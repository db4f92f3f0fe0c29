import type { Redis } from 'ioredis';

/** Tells all processes that the list of assets has changed. Loss is harmless: whoever holds a copy also looks by itself. */
export interface AssetNews {
  publish(): Promise<void>;
  listen(onChange: () => void): void;
}

interface NewsDeps {
  readonly redis: Redis;
  /** A subscriber connection, which may be shared with other channels. */
  readonly subscriber: Redis;
  readonly channel: string;
}

/** Builds the {@link AssetNews}. */
export function createAssetNews({ redis, subscriber, channel }: NewsDeps): AssetNews {
  return {
    async publish() {
      await redis.publish(channel, '{}');
    },
    listen(onChange) {
      const subscribe = (): void => void subscriber.subscribe(channel).catch(() => undefined);
      subscriber.on('ready', subscribe);
      if (subscriber.status === 'ready') subscribe();
      subscriber.on('message', (from: string) => {
        if (from === channel) onChange();
      });
    },
  };
}
