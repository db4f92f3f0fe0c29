/**
 * The prices of one connection. It has a watch for each currency and interval that it asked for. When the coins of one change,
 * a new watch takes the place of the old one in the same turn, and takes over what the old one still owed: so nothing is
 * missed, and no coin is sent again because another one came.
 */
import type { Frame } from '../../platform/realtime/frame.ts';
import { ConflatedWatch } from './conflated-watch.ts';
import type { PriceHub } from './price-hub.ts';

interface WsPricesDeps {
  readonly hub: PriceHub;
  /** Who is charged for what it costs to keep the assets fresh. */
  readonly requester: string;
  /** Whether the client takes more now. */
  readonly isReady: () => boolean;
  readonly write: (frame: Frame) => void;
}

/** Coins in a currency; `intervalMs` is the least time between two updates. */
export interface CoinsAsked {
  readonly coins: readonly string[];
  readonly currency: string;
  readonly intervalMs: number;
}

interface Held {
  readonly currency: string;
  readonly intervalMs: number;
  readonly coins: ReadonlySet<string>;
  readonly watch: ConflatedWatch;
}

/** What a watch is to become. */
interface Change {
  readonly currency: string;
  readonly intervalMs: number;
  readonly coins: ReadonlySet<string>;
  /** Coins that the client has not got the newest of. */
  readonly owed: readonly string[];
}

export class WsPrices {
  readonly #deps: WsPricesDeps;
  /** By currency and interval. */
  readonly #held = new Map<string, Held>();

  constructor(deps: WsPricesDeps) {
    this.#deps = deps;
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  /** Coins that are watched, each once for every currency. */
  get size(): number {
    return [...this.#held.values()].reduce((sum, { coins }) => sum + coins.size, 0);
  }

  /** Those of the coins that are not watched in this currency. */
  unwatched({ coins, currency }: Pick<CoinsAsked, 'coins' | 'currency'>): string[] {
    const held = this.#in(currency);
    return coins.filter((coin) => !held.some((each) => each.coins.has(coin)));
  }

  /** Watches the coins, and sends those that are new. One that is watched already takes the new interval. */
  subscribe({ coins, currency, intervalMs }: CoinsAsked): void {
    const fresh = this.unwatched({ coins, currency });
    const asked = new Set(coins);
    const others = this.#in(currency).filter((held) => held.intervalMs !== intervalMs);
    const owed = others.flatMap(({ watch }) => watch.owed()).filter((coin) => asked.has(coin));
    for (const held of others) this.#drop(held, asked);
    const now = this.#held.get(keyOf({ currency, intervalMs }))?.coins ?? new Set();
    const union = new Set([...now, ...coins]);
    const isReady = this.#deps.isReady();
    // One that is behind gets the snapshot when it has caught up.
    const change = { currency, intervalMs, coins: union, owed: isReady ? owed : [...owed, ...fresh] };
    if (union.size > now.size) this.#change(change);
    const watch = this.#held.get(keyOf(change))?.watch;
    if (isReady && watch !== undefined && fresh.length > 0) this.#deps.write(watch.watching.frameOf(fresh));
    watch?.flush();
  }

  unsubscribe({ coins, currency }: Pick<CoinsAsked, 'coins' | 'currency'>): void {
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

  #in(currency: string): Held[] {
    return [...this.#held.values()].filter((held) => held.currency === currency);
  }

  #drop(held: Held, unwanted: ReadonlySet<string>): void {
    const coins = new Set([...held.coins].filter((coin) => !unwanted.has(coin)));
    if (coins.size < held.coins.size) this.#change({ ...held, coins, owed: [] });
  }

  #change({ currency, intervalMs, coins, owed }: Change): void {
    const key = keyOf({ currency, intervalMs });
    const old = this.#held.get(key)?.watch;
    if (coins.size === 0) this.#held.delete(key);
    else {
      const { hub, requester, isReady, write } = this.#deps;
      const watch = new ConflatedWatch({
        hub,
        watch: { currency, assetIds: [...coins], intervalMs, requester },
        isReady,
        onNews: ({ frame }) => write(frame()),
        owed: [...(old?.owed() ?? []), ...owed].filter((coin) => coins.has(coin)),
      });
      this.#held.set(key, { currency, intervalMs, coins, watch });
    }
    // After the new one has begun, so that nobody takes the coins for unwatched in between.
    old?.close();
  }
}

function keyOf({ currency, intervalMs }: { currency: string; intervalMs: number }): string {
  return `${currency}/${intervalMs}`;
}
