/**
 * The prices of one connection. It has a watch for each currency and interval that it requested. When the coins of a watch
 * change, a new watch replaces the old one in the same turn and takes over its unsent updates: so nothing is missed, and no
 * coin is sent again because another one was added.
 */
import type { Frame } from '../../platform/realtime/frame.ts';
import type { TopicSession } from '../../platform/realtime/topic.ts';
import { ConflatedWatch } from './conflated-watch.ts';
import type { PriceHub } from './price-hub.ts';

interface WsPricesDeps {
  readonly hub: PriceHub;
  /** Who is charged for the calls that keep the assets fresh. */
  readonly requester: string;
  /** Whether the client accepts more data now. */
  readonly isReady: () => boolean;
  readonly write: (frame: Frame) => void;
  /** Loads the quotes into this process, as far as that is possible soon. Never rejects. */
  readonly load: (currency: string, assetIds: readonly string[]) => Promise<void>;
}

/** What is watched in a currency; `intervalMs` is the minimum time between two updates. */
interface Held {
  readonly currency: string;
  readonly intervalMs: number;
  readonly coins: ReadonlySet<string>;
  readonly watch: ConflatedWatch;
}

/** How often (s) to send updates of the coins, and in which currency. */
interface Terms {
  readonly currency: string;
  readonly interval: number;
}

export class WsPrices implements TopicSession<Terms, Pick<Terms, 'currency'>> {
  readonly #deps: WsPricesDeps;
  /** By currency and interval. */
  readonly #held = new Map<string, Held>();

  constructor(deps: WsPricesDeps) {
    this.#deps = deps;
  }

  /** Number of watched coins, counted once per currency. */
  get size(): number {
    return [...this.#held.values()].reduce((sum, { coins }) => sum + coins.size, 0);
  }

  /** Watches the coins, and sends those that are new. A coin that is already watched gets the new interval. */
  plan(coins: readonly string[], { currency, interval }: Terms) {
    const fresh = this.#unwatched(coins, currency);
    return {
      fresh: fresh.length,
      load: async () => {
        if (fresh.length > 0) await this.#deps.load(currency, fresh);
      },
      begin: () => {
        if (coins.length > 0) this.#subscribe(coins, currency, interval * 1000);
      },
    };
  }

  stop(coins: readonly string[], { currency }: Pick<Terms, 'currency'>): void {
    const unwanted = new Set(coins);
    for (const held of this.#in(currency)) this.#drop(held, unwanted);
  }

  /** Sends what was missed. */
  flush(): void {
    for (const { watch } of this.#held.values()) watch.flush();
  }

  close(): void {
    for (const { watch } of this.#held.values()) watch.close();
    this.#held.clear();
  }

  #unwatched(coins: readonly string[], currency: string): string[] {
    const held = this.#in(currency);
    return coins.filter((coin) => !held.some((each) => each.coins.has(coin)));
  }

  #subscribe(coins: readonly string[], currency: string, intervalMs: number): void {
    const fresh = this.#unwatched(coins, currency);
    const requested = new Set(coins);
    const others = this.#in(currency).filter((held) => held.intervalMs !== intervalMs);
    const owed = others.flatMap(({ watch }) => watch.owed()).filter((coin) => requested.has(coin));
    for (const held of others) this.#drop(held, requested);
    const now = this.#held.get(keyOf({ currency, intervalMs }))?.coins ?? new Set();
    const union = new Set([...now, ...coins]);
    const isReady = this.#deps.isReady();
    // A client that is behind gets the snapshot when it has caught up.
    const change = { currency, intervalMs, coins: union, owed: isReady ? owed : [...owed, ...fresh] };
    if (union.size > now.size) this.#change(change);
    const watch = this.#held.get(keyOf(change))?.watch;
    if (isReady && watch !== undefined && fresh.length > 0) this.#deps.write(watch.watching.frameOf(fresh));
    watch?.flush();
  }

  #in(currency: string): Held[] {
    return [...this.#held.values()].filter((held) => held.currency === currency);
  }

  #drop(held: Held, unwanted: ReadonlySet<string>): void {
    const coins = new Set([...held.coins].filter((coin) => !unwanted.has(coin)));
    if (coins.size < held.coins.size) this.#change({ ...held, coins, owed: [] });
  }

  /** `owed`: coins whose newest quote the client does not have. */
  #change({
    currency,
    intervalMs,
    coins,
    owed,
  }: Omit<Held, 'watch'> & { readonly owed: readonly string[] }): void {
    const key = keyOf({ currency, intervalMs });
    const old = this.#held.get(key)?.watch;
    if (coins.size === 0) this.#held.delete(key);
    else {
      const { hub, requester, isReady, write } = this.#deps;
      const watch = new ConflatedWatch({
        hub,
        watch: { currency, assetIds: [...coins], intervalMs, requester },
        isReady,
        onUpdate: ({ frame }) => write(frame()),
        owed: [...(old?.owed() ?? []), ...owed].filter((coin) => coins.has(coin)),
      });
      this.#held.set(key, { currency, intervalMs, coins, watch });
    }
    // After the new watch has started, so that the coins never count as unwatched in between.
    old?.close();
  }
}

function keyOf({ currency, intervalMs }: { currency: string; intervalMs: number }): string {
  return `${currency}/${intervalMs}`;
}
