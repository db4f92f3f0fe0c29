import type { Want } from './demand/demand.ts';
import type { ReadCounter } from './demand/interest.ts';
import type { QuoteFailure, QuoteReading } from '../../domain/cached-quote.ts';
import { freshness } from '../../domain/cached-quote.ts';
import type { QuoteState, Urgency } from '../../domain/quote.ts';
import type { Tick, TickSubscriber } from './ticks.ts';
import { createBell } from '../../platform/concurrency/wake-signal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { LocalCache } from './local-cache.ts';
import type { QuoteStore, StoredQuote } from './quote-store.ts';

/**
 * Waiting for quotes. A collection reads the cache, says what it wants, and from then on listens to ticks until every asset
 * has settled: a fresh quote, or the reason why there is none. Ticks may be lost and demand may be wiped with Redis, so it
 * also looks again by itself every second.
 */
export interface CollectRequest {
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly urgency: Urgency;
  /** Who is charged for what it makes the fleet fetch (src/domain/requester.ts); nobody when absent. */
  readonly requester?: string | undefined;
  /** Longest wait in milliseconds; what has not settled by then is reported as it is. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told as assets settle, in batches. */
  readonly onSettled?: (readings: readonly QuoteReading[]) => void;
  /** Told once when the cache alone does not suffice, with the number of assets that are waited for. */
  readonly onWait?: (missing: number) => void;
}

interface CollectorDeps {
  /** This process's copy of the cache: what is fresh there needs no question to Redis. Absent: Redis is asked. */
  readonly local?: Pick<LocalCache, 'get' | 'put'>;
  readonly store: Pick<QuoteStore, 'readMany'>;
  readonly want: Want;
  readonly ticks: TickSubscriber;
  readonly clock: Clock;
  readonly freshMs: number;
  /** Told of every asset that a collection brought. */
  readonly reads?: ReadCounter | undefined;
  /** What to call an asset that is wanted and has not come: `rate_limited` when the budget is used up, else `pending`. */
  readonly pendingState: () => Promise<QuoteState>;
}

export type CollectQuotes = (request: CollectRequest) => Promise<ReadonlyMap<string, QuoteReading>>;

/** How often a collection looks again by itself (ms). */
const lookAgainMs = 1_000;

/**
 * Builds the collector. Its promise rejects only when the cache cannot be read at all or when `signal` aborts; then with the
 * signal's reason.
 */
export function createQuoteCollector(deps: CollectorDeps): CollectQuotes {
  return (request) => new Collection(deps, request).run();
}

/** One collection in progress. */
class Collection {
  readonly #deps: CollectorDeps;
  readonly #request: CollectRequest;
  readonly #settled = new Map<string, QuoteReading>();
  readonly #missing: Set<string>;
  readonly #lastKnown = new Map<string, StoredQuote>();
  readonly #bell = createBell();

  constructor(deps: CollectorDeps, request: CollectRequest) {
    this.#deps = deps;
    this.#request = request;
    this.#missing = new Set(request.assetIds);
  }

  async run(): Promise<ReadonlyMap<string, QuoteReading>> {
    const { waitMs, onWait, signal } = this.#request;
    const deadline = this.#deps.clock.now() + waitMs;
    // Listening before reading: a tick between the two would otherwise be missed.
    const stopListening = this.#deps.ticks.listen({ onTick: (tick) => this.#onTick(tick) });
    signal?.addEventListener('abort', this.#bell.ring, { once: true });
    try {
      this.#lookAtHeld();
      if (this.#missing.size > 0) await this.#look();
      if (this.#missing.size > 0 && waitMs > 0) {
        onWait?.(this.#missing.size);
        await this.#waitUntil(deadline);
      }
    } finally {
      stopListening();
      signal?.removeEventListener('abort', this.#bell.ring);
    }
    if (this.#missing.size > 0) await this.#giveUp();
    return this.#settled;
  }

  async #waitUntil(deadline: number): Promise<void> {
    while (this.#missing.size > 0) {
      this.#request.signal?.throwIfAborted();
      await this.#want();
      const left = deadline - this.#deps.clock.now();
      if (left <= 0 || this.#isDone()) return;
      await this.#bell.wait(Math.min(left, lookAgainMs));
      this.#request.signal?.throwIfAborted();
      if (!this.#isDone()) await this.#look();
    }
  }

  /** Ticks settle assets while others wait, hence a question and not a narrowed value. */
  #isDone(): boolean {
    return this.#missing.size === 0;
  }

  async #want(): Promise<void> {
    const { currency, urgency, requester } = this.#request;
    const assetIds = [...this.#missing];
    if (assetIds.length === 0) return;
    const open = await this.#deps.want({ currency, assetIds, urgency, requester });
    if (open < assetIds.length) await this.#look();
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

  /** Reads what is missing from the cache and settles what can be. */
  async #look(): Promise<void> {
    const ids = [...this.#missing];
    const stored = await this.#deps.store.readMany(this.#request.currency, ids);
    const now = this.#deps.clock.now();
    this.#settle(ids.flatMap((assetId, index) => this.#readingOf(assetId, stored[index], now) ?? []));
  }

  #readingOf(assetId: string, stored: StoredQuote | undefined, now: number): QuoteReading | undefined {
    if (stored === undefined) return undefined;
    this.#lastKnown.set(assetId, stored);
    const { quote, failure } = stored;
    if (quote !== undefined && freshness(quote, now, this.#deps.freshMs) === 'fresh') {
      this.#deps.local?.put(quote);
      return { assetId, state: 'fresh', quote };
    }
    return failure !== undefined && failure.until > now ? readingOfFailure(failure, quote) : undefined;
  }

  #onTick(tick: Tick): void {
    if (tick.currency !== this.#request.currency) return;
    const now = this.#deps.clock.now();
    const readings: QuoteReading[] = [];
    for (const quote of tick.quotes) {
      // One from a process that was stopped for a while, or from the future, is not what is waited for.
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
    this.#request.onSettled?.(readings);
    if (this.#missing.size === 0) this.#bell.ring();
  }

  /** The time is up: the last good value if there is one, else why there is none yet. */
  async #giveUp(): Promise<void> {
    const state = await this.#deps.pendingState();
    this.#settle(
      [...this.#missing].map((assetId) => {
        const quote = this.#lastKnown.get(assetId)?.quote;
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
