import type { Redis } from 'ioredis';
import type { CachedQuote, QuoteFailure } from '../../domain/cached-quote.ts';
import { parseMessage } from '../../platform/redis/parse-message.ts';

/**
 * A tick tells the fleet what one upstream call (or a clearing of the cache) changed. Ticks travel over pub/sub, which may
 * lose them: nothing depends on a tick alone, because what it says is in the cache before it is sent.
 */
export interface Tick {
  readonly currency: string;
  readonly quotes: readonly CachedQuote[];
  readonly failures: readonly QuoteFailure[];
  /** A page of the ranking by market capitalisation, when the call brought one. */
  readonly popular?: Ranking | undefined;
  /** Which page (1-based) that is; the first when absent. */
  readonly page?: number | undefined;
}

/** Asset ids in the order of market capitalisation. */
export interface Ranking {
  readonly assetIds: readonly string[];
  /** Milliseconds since the Unix epoch. */
  readonly receivedAt: number;
}

/** The cache was cleared: of these assets, or (null) of everything. */
export interface Clearing {
  readonly clear: readonly string[] | null;
}

type Message = { tick: Tick } | Clearing;

/** Publishes ticks and clearings on one channel. */
export interface TickPublisher {
  publish(tick: Tick): Promise<void>;
  publishClearing(assetIds: readonly string[] | null): Promise<void>;
}

/** Builds a {@link TickPublisher}. */
export function createTickPublisher(redis: Redis, channel: string): TickPublisher {
  const send = async (message: Message): Promise<void> => {
    await redis.publish(channel, JSON.stringify(message));
  };
  return {
    publish: (tick) => send({ tick }),
    publishClearing: (assetIds) => send({ clear: assetIds }),
  };
}

/** What a listener is told. */
export interface TickListener {
  onTick?(tick: Tick): void;
  onClear?(assetIds: readonly string[] | null): void;
  /** The connection was lost and is back: ticks may have been missed. */
  onGap?(): void;
}

/** One subscriber connection of a process, shared by all its listeners. */
export interface TickSubscriber {
  listen(listener: TickListener): () => void;
}

/** Subscribes `redis` (a connection of its own) to the ticks. */
export function createTickSubscriber(redis: Redis, channel: string): TickSubscriber {
  const listeners = new Set<TickListener>();

  const subscribe = async (): Promise<void> => {
    await redis.subscribe(channel);
    for (const listener of listeners) listener.onGap?.();
  };
  // ioredis subscribes again by itself after a reconnect; saying it once more is harmless and tells us when it stands.
  const whenReady = (): void => void subscribe().catch(() => undefined);
  redis.on('ready', whenReady);
  if (redis.status === 'ready') whenReady();
  redis.on('message', (from: string, text: string) => {
    if (from !== channel) return;
    const message = parseMessage(text) as Message | undefined;
    if (message === undefined) return;
    for (const listener of listeners) deliver(listener, message);
  });

  return {
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function deliver(listener: TickListener, message: Message): void {
  if ('tick' in message) listener.onTick?.(message.tick);
  else listener.onClear?.(message.clear);
}
