import type { Demand, Want } from './demand/demand.ts';
import type { ReadCounter } from './demand/interest.ts';
import type { QuoteFailure, QuoteReading } from '../../domain/cached-quote.ts';
import { freshness } from '../../domain/cached-quote.ts';
import { throwBugs } from '../../domain/errors.ts';
import type { QuoteState, Urgency } from '../../domain/quote.ts';
import type { Tick, TickSubscriber } from './ticks.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { LocalCache } from './local-cache.ts';
import type { QuoteStore, StoredQuote } from './quote-store.ts';
import { WaitingRoom, type Waiter } from './waiting-room.ts';

/**
 * Waiting for quotes. A collection reads the cache, requests what is missing, and then only listens: ticks wake it until every
 * asset has settled (a fresh quote, or the reason why there is none). Ticks may be lost and demand may be wiped with Redis, so
 * the {@link WaitingRoom} of the process polls for everything that is waited for.
 */
export interface CollectRequest {
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly urgency: Urgency;
  /** Who is charged for the upstream calls that this causes (src/domain/requester.ts); absent: nobody. */
  readonly requester?: string | undefined;
  /** Longest wait in milliseconds; what has not settled by then is reported as it is. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Keep waiting while the cache is unavailable, instead of rejecting. */
  readonly outlastsOutages?: boolean;
  /** Called with batches of assets as they settle. */
  readonly onSettled?: (readings: readonly QuoteReading[]) => void;
  /** Called once when the cache alone is not enough, with the number of assets that are waited for. */
  readonly onWait?: (missing: number) => void;
}

interface CollectorDeps {
  /** This process's copy of the cache: what is fresh there is not read from Redis. Absent: Redis is read. */
  readonly local?: Pick<LocalCache, 'get' | 'put'>;
  readonly store: Pick<QuoteStore, 'readMany'>;
  readonly want: Want;
  readonly demand: Pick<Demand, 'forgotten'>;
  readonly ticks: TickSubscriber;
  readonly clock: Clock;
  readonly freshMs: number;
  /** Counts every asset that a collection returned. */
  readonly reads?: ReadCounter | undefined;
  /**
   * The state of an asset that was requested and has not arrived: `rate_limited` when the budget is used up, else `pending`.
   */
  readonly pendingState: () => Promise<QuoteState>;
}

export type CollectQuotes = (request: CollectRequest) => Promise<ReadonlyMap<string, QuoteReading>>;

/**
 * Builds the collector. Its promise rejects only when the cache cannot be read at all (unless the request outlasts outages), or
 * with the reason of `signal` when that aborts.
 */
export function createQuoteCollector(deps: CollectorDeps): CollectQuotes {
  const room = new WaitingRoom(deps);
  // Collections that end at the same time share one answer.
  let requested: Promise<QuoteState> | undefined;
  const pendingState = (): Promise<QuoteState> =>
    (requested ??= deps.pendingState().finally(() => (requested = undefined)));
  return (request) => new Collection({ ...deps, pendingState }, room, request).run();
}

/** One collection in progress. */
class Collection implements Waiter {
  readonly #deps: CollectorDeps;
  readonly #room: WaitingRoom;
  readonly #request: CollectRequest;
  readonly #settled = new Map<string, QuoteReading>();
  readonly #missing: Set<string>;
  readonly #lastKnown = new Map<string, StoredQuote>();
  readonly #wakeSignal = createWakeSignal();
  /** Number of assets requested at first. */
  #size = 0;
  #hasReportedWait = false;

  constructor(deps: CollectorDeps, room: WaitingRoom, request: CollectRequest) {
    this.#deps = deps;
    this.#room = room;
    this.#request = request;
    this.#missing = new Set(request.assetIds);
  }

  get currency(): string {
    return this.#request.currency;
  }

  get missing(): ReadonlySet<string> {
    return this.#missing;
  }

  async run(): Promise<ReadonlyMap<string, QuoteReading>> {
    const { waitMs, signal } = this.#request;
    const deadline = this.#deps.clock.now() + waitMs;
    this.#lookAtHeld();
    if (this.#isDone()) return this.#settled;
    // Subscribe before reading: a tick in between would otherwise be missed.
    this.#room.enter(this);
    signal?.addEventListener('abort', this.#wakeSignal.wake, { once: true });
    try {
      await this.#askInOrder(waitMs);
      if (waitMs > 0) await this.#waitUntil(deadline);
    } finally {
      this.#room.leave(this);
      signal?.removeEventListener('abort', this.#wakeSignal.wake);
    }
    if (!this.#isDone()) await this.#giveUp();
    return this.#settled;
  }

  async #waitUntil(deadline: number): Promise<void> {
    for (;;) {
      this.#request.signal?.throwIfAborted();
      const left = deadline - this.#deps.clock.now();
      if (left <= 0 || this.#isDone()) return;
      this.#reportWait();
      await this.#wakeSignal.wait(left);
    }
  }

  /** Requests the assets once, when its turn has come; what cannot be requested now is requested by the room later. */
  async #askInOrder(waitMs: number): Promise<void> {
    const { outlastsOutages = false, signal } = this.#request;
    try {
      await this.#room.inOrder({ size: this.#missing.size, waitMs, signal }, async () => {
        await this.#poll();
        if (this.#isDone() || waitMs <= 0) return;
        this.#reportWait();
        this.#size = this.#missing.size;
        await this.want([...this.#missing]);
      });
    } catch (error) {
      if (!outlastsOutages) throw error;
      throwBugs(error);
    }
  }

  #reportWait(): void {
    if (this.#hasReportedWait) return;
    this.#hasReportedWait = true;
    this.#request.onWait?.(this.#missing.size);
  }

  /** Ticks settle assets during awaits, so this is a method and not a narrowed value. */
  #isDone(): boolean {
    return this.#missing.size === 0;
  }

  async want(assetIds: readonly string[]): Promise<void> {
    const { currency, urgency, requester } = this.#request;
    if (assetIds.length === 0) return;
    const size = Math.max(this.#size, assetIds.length);
    const open = await this.#deps.want({ currency, assetIds, size, urgency, requester });
    if (open < assetIds.length) await this.#poll(assetIds);
  }

  #lookAtHeld(): void {
    const { currency, assetIds } = this.#request;
    const { local } = this.#deps;
    if (local === undefined) return;
    const now = this.#deps.clock.now();
    const readings: QuoteReading[] = [];
    for (const assetId of assetIds) {
      const quote = local.get(currency, assetId);
      if (quote !== undefined && freshness(quote, now, this.#deps.freshMs) === 'fresh') {
        readings.push({ assetId, state: 'fresh', quote });
      }
    }
    this.#settle(readings);
  }

  /** Reads the missing assets from the cache and settles what it can. */
  async #poll(assetIds: Iterable<string> = this.#missing): Promise<void> {
    const ids = [...assetIds];
    const stored = await this.#deps.store.readMany(this.#request.currency, ids);
    this.see(
      ids.flatMap((assetId, index) => {
        const found = stored[index];
        return found === undefined ? [] : [[assetId, found] as const];
      }),
    );
  }

  see(found: readonly (readonly [assetId: string, stored: StoredQuote])[]): void {
    const now = this.#deps.clock.now();
    this.#settle(
      found.flatMap(([assetId, stored]) =>
        this.#missing.has(assetId) ? (this.#readingOf(assetId, stored, now) ?? []) : [],
      ),
    );
  }

  #readingOf(assetId: string, stored: StoredQuote, now: number): QuoteReading | undefined {
    this.#lastKnown.set(assetId, stored);
    const { quote, failure } = stored;
    if (quote !== undefined && freshness(quote, now, this.#deps.freshMs) === 'fresh') {
      this.#deps.local?.put(quote);
      return { assetId, state: 'fresh', quote };
    }
    return failure !== undefined && failure.until > now ? readingOfFailure(failure, quote) : undefined;
  }

  hear(tick: Pick<Tick, 'quotes' | 'failures'>): void {
    const now = this.#deps.clock.now();
    const readings: QuoteReading[] = [];
    for (const quote of tick.quotes) {
      // A quote from a process that was stopped for a while, or one from the future, does not settle the wait.
      if (this.#missing.has(quote.assetId) && freshness(quote, now, this.#deps.freshMs) === 'fresh')
        readings.push({ assetId: quote.assetId, state: 'fresh', quote });
    }
    for (const failure of tick.failures) {
      const known = this.#lastKnown.get(failure.assetId)?.quote;
      if (this.#missing.has(failure.assetId)) readings.push(readingOfFailure(failure, known));
    }
    this.#settle(readings);
  }

  #settle(readings: readonly QuoteReading[]): void {
    if (readings.length === 0) return;
    for (const reading of readings) {
      this.#settled.set(reading.assetId, reading);
      this.#missing.delete(reading.assetId);
      if (reading.quote !== undefined) this.#deps.reads?.asset(this.#request.currency, reading.assetId);
    }
    this.#room.settled(
      this,
      readings.map(({ assetId }) => assetId),
    );
    this.#request.onSettled?.(readings);
    if (this.#missing.size === 0) this.#wakeSignal.wake();
  }

  /** The time is up: returns the last good value if there is one, else why there is none yet. */
  async #giveUp(): Promise<void> {
    const state = await this.#deps.pendingState().catch((error: unknown): QuoteState => {
      if (this.#request.outlastsOutages !== true) throw error;
      return 'pending';
    });
    this.#settle(
      [...this.#missing].map((assetId) => {
        const { quote, failure } = this.#lastKnown.get(assetId) ?? {};
        if (failure?.state === 'unpriced') return readingOfFailure(failure, quote);
        return { assetId, quote, state: quote === undefined ? state : 'stale' };
      }),
    );
  }
}

/** A good value outlives a failure: it is served as stale, with the reason. */
function readingOfFailure(failure: QuoteFailure, quote: StoredQuote['quote']): QuoteReading {
  const { assetId, state, reason } = failure;
  return quote === undefined
    ? { assetId, state, quote: undefined, reason }
    : { assetId, state: 'stale', quote, reason };
}
