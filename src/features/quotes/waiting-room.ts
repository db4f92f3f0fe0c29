import { sleep } from '../../platform/concurrency/sleep.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import type { Demand } from './demand/demand.ts';
import type { QuoteStore, StoredQuote } from './quote-store.ts';
import type { Tick, TickSubscriber } from './ticks.ts';

/** Somebody who waits for assets. A waiter asks once; from then on the room repeats the request. */
export interface Waiter {
  readonly currency: string;
  /** What is still waited for. */
  readonly missing: ReadonlySet<string>;
  /** Takes what a tick says of missing assets; those that settle leave `missing`. */
  hear(reported: Pick<Tick, 'quotes' | 'failures'>): void;
  /** Takes what the cache has of missing assets. */
  see(found: readonly (readonly [assetId: string, stored: StoredQuote])[]): void;
  /** Requests these assets again. */
  want(assetIds: readonly string[]): Promise<unknown>;
}

interface RoomDeps {
  readonly store: Pick<QuoteStore, 'readMany'>;
  readonly demand: Pick<Demand, 'forgotten'>;
  readonly ticks: TickSubscriber;
}

/** Time (ms) between the end of one poll and the next. */
const pollIntervalMs = 1_000;
/** Assets per Redis query, and the pause (ms) after it: polling for a crowd takes longer, but does not cost more. */
const assetsPerQuestion = 500;
const pauseMs = 100;
/**
 * Up to this number of assets, waiters ask at once, each for itself; beyond it they wait until some are served, the smallest
 * first.
 */
const assetsRequestedAtOnce = 2_000;
/** A caller that has no time to wait for quotes still waits this long (ms) for its turn to ask. */
const shortestWaitMs = 2_000;

/**
 * What a process waits for, each asset once, however many waiters it has. Ticks settle it. Because they may be lost, and demand
 * may be wiped with Redis, one slow poll goes over everything that is missing: it finds quotes that arrived without a tick, and
 * requests again what is no longer wanted in Redis. It queries at most {@link assetsPerQuestion} assets every {@link pauseMs},
 * whatever the number of waiters.
 */
export class WaitingRoom {
  readonly #deps: RoomDeps;
  /** The waiters of an asset, by currency: mostly one. */
  readonly #waiting = new Map<string, Map<string, Waiter | Set<Waiter>>>();
  readonly #present = new Set<Waiter>();
  #stopListening: (() => void) | undefined;
  /** Until the next poll; undefined while one is running. */
  #timer: NodeJS.Timeout | undefined;
  #isPolling = false;
  #requestedAtOnce = 0;
  readonly #line: { readonly size: number; readonly call: () => void }[] = [];

  constructor(deps: RoomDeps) {
    this.#deps = deps;
  }

  /** Registers a waiter for what it misses. */
  enter(waiter: Waiter): void {
    this.#present.add(waiter);
    for (const assetId of waiter.missing) this.#add(waiter, assetId);
    this.#stopListening ??= this.#deps.ticks.listen({
      onTick: (tick) => this.#deliver(tick),
      // No tick told the waiter what has arrived in the meantime.
      onGap: () => this.#pollAfter(0),
    });
    if (this.#timer === undefined) this.#pollAfter(pollIntervalMs);
  }

  /** The waiter no longer misses these assets. */
  settled(waiter: Waiter, assetIds: Iterable<string>): void {
    const waiting = this.#waiting.get(waiter.currency);
    if (waiting === undefined) return;
    for (const assetId of assetIds) {
      const held = waiting.get(assetId);
      if (held instanceof Set) held.delete(waiter);
      if (held === waiter || (held instanceof Set && held.size === 0)) waiting.delete(assetId);
    }
    if (waiting.size === 0) this.#waiting.delete(waiter.currency);
  }

  leave(waiter: Waiter): void {
    this.settled(waiter, waiter.missing);
    this.#present.delete(waiter);
    if (this.#present.size > 0) return;
    this.#stopListening?.();
    this.#stopListening = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /**
   * Lets a waiter ask about `size` assets when it is its turn: small requests first, so that one coin does not wait behind a
   * crowd. Nothing is asked when the turn does not come within `waitMs` (2 s at least), or `signal` aborts.
   */
  async inOrder(
    {
      size,
      waitMs,
      signal,
    }: {
      readonly size: number;
      readonly waitMs: number;
      readonly signal: AbortSignal | undefined;
    },
    ask: () => Promise<void>,
  ): Promise<void> {
    if (this.#requestedAtOnce > 0 && this.#requestedAtOnce + size > assetsRequestedAtOnce) {
      if (!(await this.#turn(size, waitMs, signal))) return;
    } else this.#requestedAtOnce += size;
    try {
      await ask();
    } finally {
      this.#requestedAtOnce -= size;
      this.#callNext();
    }
  }

  /** Resolves with whether the turn came. */
  async #turn(size: number, waitMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    let wasCalled = false;
    const wakeSignal = createWakeSignal();
    const place = {
      size,
      call: () => {
        wasCalled = true;
        wakeSignal.wake();
      },
    };
    const behind = this.#line.findIndex((other) => other.size > size);
    this.#line.splice(behind === -1 ? this.#line.length : behind, 0, place);
    signal?.addEventListener('abort', wakeSignal.wake, { once: true });
    await wakeSignal.wait(Math.max(waitMs, shortestWaitMs));
    signal?.removeEventListener('abort', wakeSignal.wake);
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- called while it waited
    if (!wasCalled) this.#line.splice(this.#line.indexOf(place), 1);
    return wasCalled;
  }

  #callNext(): void {
    for (let next = this.#line[0]; next !== undefined; next = this.#line[0]) {
      if (this.#requestedAtOnce > 0 && this.#requestedAtOnce + next.size > assetsRequestedAtOnce) return;
      this.#line.shift();
      this.#requestedAtOnce += next.size;
      next.call();
    }
  }

  #add(waiter: Waiter, assetId: string): void {
    const waiting = this.#waiting.get(waiter.currency) ?? new Map<string, Waiter | Set<Waiter>>();
    this.#waiting.set(waiter.currency, waiting);
    const held = waiting.get(assetId);
    if (held === undefined) waiting.set(assetId, waiter);
    else if (held instanceof Set) held.add(waiter);
    else waiting.set(assetId, new Set([held, waiter]));
  }

  #waitersFor(currency: string, assetId: string): readonly Waiter[] {
    const held = this.#waiting.get(currency)?.get(assetId);
    if (held === undefined) return [];
    return held instanceof Set ? [...held] : [held];
  }

  /** Every waiter gets a tick once, and only the part that it misses. */
  #deliver(tick: Tick): void {
    const reported = new Map<
      Waiter,
      { quotes: Tick['quotes'][number][]; failures: Tick['failures'][number][] }
    >();
    const partOf = (waiter: Waiter) => {
      const part = reported.get(waiter) ?? { quotes: [], failures: [] };
      reported.set(waiter, part);
      return part;
    };
    for (const quote of tick.quotes)
      for (const waiter of this.#waitersFor(tick.currency, quote.assetId)) partOf(waiter).quotes.push(quote);
    for (const failure of tick.failures)
      for (const waiter of this.#waitersFor(tick.currency, failure.assetId))
        partOf(waiter).failures.push(failure);
    for (const [waiter, part] of reported) waiter.hear(part);
  }

  #pollAfter(ms: number): void {
    if (this.#isPolling || this.#present.size === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#pollRound(), ms);
  }

  async #pollRound(): Promise<void> {
    this.#timer = undefined;
    this.#isPolling = true;
    try {
      for (const currency of [...this.#waiting.keys()]) await this.#poll(currency);
    } catch {
      // Redis does not answer; the next round asks again.
    } finally {
      this.#isPolling = false;
      this.#pollAfter(pollIntervalMs);
    }
  }

  async #poll(currency: string): Promise<void> {
    // Waiters that join meanwhile have just made their own request.
    const ids = [...(this.#waiting.get(currency)?.keys() ?? [])];
    const isMissing = (assetId: string): boolean => this.#waiting.get(currency)?.has(assetId) === true;
    for (let begin = 0; begin < ids.length; begin += assetsPerQuestion) {
      if (begin > 0) await sleep(pauseMs);
      const requested = ids.slice(begin, begin + assetsPerQuestion).filter(isMissing);
      await this.#see(currency, requested);
      const missing = requested.filter(isMissing);
      const forgotten = await this.#deps.demand.forgotten(currency, missing);
      // At least one is requested: that triggers a call, in case the job that should make it was lost.
      await this.#wantAgain(
        currency,
        begin === 0 ? new Set([...missing.slice(0, 1), ...forgotten]) : forgotten,
      );
    }
  }

  async #see(currency: string, assetIds: readonly string[]): Promise<void> {
    const stored = await this.#deps.store.readMany(currency, assetIds);
    const found = new Map<Waiter, (readonly [string, StoredQuote])[]>();
    for (const [index, assetId] of assetIds.entries()) {
      const has = stored[index];
      if (has === undefined || (has.quote === undefined && has.failure === undefined)) continue;
      for (const waiter of this.#waitersFor(currency, assetId)) {
        const part = found.get(waiter) ?? [];
        found.set(waiter, part);
        part.push([assetId, has]);
      }
    }
    for (const [waiter, part] of found) waiter.see(part);
  }

  /** If several wait for an asset, the first one requests it; it is charged for it as before. */
  async #wantAgain(currency: string, assetIds: Iterable<string>): Promise<void> {
    const parts = new Map<Waiter, string[]>();
    for (const assetId of assetIds) {
      const [waiter] = this.#waitersFor(currency, assetId);
      if (waiter === undefined) continue;
      const part = parts.get(waiter) ?? [];
      parts.set(waiter, part);
      part.push(assetId);
    }
    for (const [waiter, part] of parts) await waiter.want(part);
  }
}
