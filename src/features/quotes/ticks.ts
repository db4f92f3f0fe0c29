import { receivedAtOf } from '../../domain/received-at.ts';
import type { CachedQuote, QuoteFailure } from '../../domain/cached-quote.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

/**
 * A tick announces to the fleet what one upstream call (or a clearing of the cache) changed. Ticks travel over pub/sub, which
 * may lose them: nothing depends on a tick alone, because its content is in the cache before it is sent.
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

/** Publishes ticks and clearings on one channel. */
export interface TickPublisher {
  publish(tick: Tick): Promise<void>;
  publishClearing(assetIds: readonly string[] | null): Promise<void>;
}

/** What a listener receives. */
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

/** Builds the channel of ticks. Ticks from the future reach no listener ({@link receivedAtOf}). */
export function createTicks({
  clock,
  ...place
}: ChannelPlace & { readonly clock: Clock }): TickPublisher & TickSubscriber {
  // A tick, or a clearing of the cache (of these assets, or, with null, of everything). Not validated on arrival: ticks are a hot
  // path.
  const channel: Channel<{ readonly tick: Tick } | { readonly clear: readonly string[] | null }> =
    createChannel(place);
  return {
    publish: (tick) => channel.publish({ tick }),
    publishClearing: (assetIds) => channel.publish({ clear: assetIds }),
    listen: (listener) =>
      channel.listen(
        (message) => {
          if ('tick' in message) listener.onTick?.(dated(message.tick, clock.now()));
          else listener.onClear?.(message.clear);
        },
        () => listener.onGap?.(),
      ),
  };
}

/** One call makes one tick: its quotes have the same timestamp, and nearly always the tick is passed on unchanged. */
function dated(tick: Tick, now: number): Tick {
  const { quotes, popular } = tick;
  const isPast = ({ receivedAt }: { readonly receivedAt: number }): boolean =>
    receivedAtOf(receivedAt, now) === receivedAt;
  if (quotes.every(isPast) && (popular === undefined || isPast(popular))) return tick;
  const redated = <T extends { readonly receivedAt: number }>(value: T): T => ({
    ...value,
    receivedAt: receivedAtOf(value.receivedAt, now),
  });
  return { ...tick, quotes: quotes.map(redated), popular: popular && redated(popular) };
}
