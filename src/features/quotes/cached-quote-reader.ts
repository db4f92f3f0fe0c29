import { freshness, readingJson, type CachedQuote, type QuoteReading } from '../../domain/cached-quote.ts';
import type { QuoteState } from '../../domain/quote.ts';
import { requesterText } from '../../domain/requester.ts';
import type { ReadTally } from './demand/interest.ts';
import type { Ranking, TickPublisher, TickSubscriber } from './ticks.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { UnavailableError } from '../../domain/errors.ts';
import type { CollectQuotes } from './collect-quotes.ts';
import type { QuoteMirror } from './local-cache.ts';
import type { CacheStats, PopularReading, QuoteRead, QuoteReader } from './quote-reader.ts';
import type { RenewQuote } from './renew-quote.ts';
import type { QuoteStore } from './quote-store.ts';

interface ReaderDeps {
  readonly mirror: QuoteMirror;
  readonly store: QuoteStore;
  readonly ticks: TickSubscriber;
  readonly publisher: TickPublisher;
  readonly collect: CollectQuotes;
  readonly clock: Clock;
  readonly freshMs: number;
  readonly renew: RenewQuote;
  /** Makes sure that a job fetches the ranking of a currency. */
  readonly kickMarkets: (currency: string) => Promise<void>;
  readonly pendingState: () => Promise<QuoteState>;
  /** Told of every read that is answered from the cache. */
  readonly reads?: ReadTally | undefined;
}

/** A quote that has been asked to be renewed is not asked for again by the same process within this time (ms). */
const renewEveryMs = 1_000;
const maxRenewals = 10_000;

/** Builds the {@link QuoteReader} of an API process over its mirror, the fleet's cache and demand. */
export function createQuoteReader(deps: ReaderDeps): QuoteReader {
  return new CachedQuoteReader(deps);
}

class CachedQuoteReader implements QuoteReader {
  readonly #deps: ReaderDeps;
  readonly #renewedAt = new Map<string, number>();
  /** Reads under way, so that a crowd that wants one asset asks Redis once. */
  readonly #underWay = new Map<string, Promise<QuoteReading>>();
  #hits = 0;
  #misses = 0;

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
  }

  peekFreshJson(assetId: string, currency: string): string | undefined {
    const quote = this.#deps.mirror.get(currency, assetId);
    if (quote === undefined || this.#freshness(quote) === 'stale') return undefined;
    this.#hits++;
    this.#deps.reads?.asset(currency, assetId);
    return jsonOfFresh(quote);
  }

  async read(asked: QuoteRead): Promise<QuoteReading> {
    const { assetId, currency, waitMs } = asked;
    const { mirror, clock } = this.#deps;
    const held = mirror.get(currency, assetId);
    // What comes by a collection is counted there.
    if (held !== undefined) this.#deps.reads?.asset(currency, assetId);
    if (held !== undefined && this.#freshness(held) === 'fresh') {
      this.#hits++;
      return { assetId, state: 'fresh', quote: held };
    }
    const failure = mirror.failure(currency, assetId, clock.now());
    if (failure?.state === 'not_found' && held === undefined) {
      this.#hits++;
      return { assetId, state: 'not_found', quote: undefined, reason: failure.reason };
    }
    this.#misses++;
    return await this.#shared(`${currency}:${assetId}:${waitMs}`, () => this.#readOutside(asked));
  }

  async #shared(key: string, read: () => Promise<QuoteReading>): Promise<QuoteReading> {
    let reading = this.#underWay.get(key);
    if (reading === undefined) {
      reading = read().finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, reading);
    }
    return await reading;
  }

  async #readOutside(asked: QuoteRead): Promise<QuoteReading> {
    const { assetId, currency } = asked;
    return await orHeld(this.#askFleet(asked), () => {
      const quote = this.#deps.mirror.get(currency, assetId);
      const reason = 'the cache cannot be reached';
      return quote && { assetId, state: this.#freshness(quote), quote, reason };
    });
  }

  async #askFleet({ assetId, currency, waitMs, requester: who }: QuoteRead): Promise<QuoteReading> {
    const { mirror, collect } = this.#deps;
    const requester = who && requesterText(who);
    const known = await this.#look(currency, assetId, requester);
    if (known !== undefined) return known;
    const wanted = { currency, assetIds: [assetId], urgency: 'interactive', waitMs, requester } as const;
    const readings = await collect(wanted);
    const reading = readings.get(assetId) ?? { assetId, state: 'pending', quote: undefined };
    if (reading.quote !== undefined) mirror.put(reading.quote);
    return reading;
  }

  async readPopular(currency: string, limit: number, waitMs: number): Promise<PopularReading> {
    const ranking = await orHeld(this.#ranking(currency, waitMs), () => this.#deps.mirror.ranking(currency));
    if (ranking === undefined) {
      const state = await this.#deps.pendingState();
      return { state: state === 'rate_limited' ? 'rate_limited' : 'pending', readings: [] };
    }
    this.#deps.reads?.page(currency, 1);
    const readings = await this.#readingsOf(currency, ranking.assetIds.slice(0, limit));
    if (!readings.some(({ quote }) => quote !== undefined)) return { state: 'unavailable', readings: [] };
    const state = this.#age(ranking.receivedAt) < this.#deps.freshMs ? 'fresh' : 'stale';
    return { state, readings };
  }

  async clear(assetIds?: readonly string[]): Promise<number> {
    const removed = await orHeld(this.#deps.store.clear(assetIds ?? null), () => undefined);
    await this.#deps.publisher.publishClearing(assetIds ?? null);
    this.#deps.mirror.onClear(assetIds ?? null);
    return removed;
  }

  stats(): CacheStats {
    const now = this.#deps.clock.now();
    const ages: number[] = [];
    let fresh = 0;
    let bytes = 0;
    for (const quote of this.#deps.mirror.quotes()) {
      ages.push((now - quote.receivedAt) / 1000);
      if (this.#freshness(quote) === 'fresh') fresh++;
      bytes += quote.head.length * 2 + 200;
    }
    ages.sort((a, b) => a - b);
    const at = (share: number): number | null => ages[Math.ceil(ages.length * share) - 1] ?? null;
    return {
      entries: ages.length,
      by_state: { fresh, stale: ages.length - fresh, not_found: this.#deps.mirror.notFoundCount(now) },
      hits: this.#hits,
      misses: this.#misses,
      age_seconds: { p50: at(0.5), p99: at(0.99), max: at(1) },
      memory_bytes: bytes,
    };
  }

  /** Another process may have fetched it while our ticks were cut off; a stale value is renewed without making anybody wait. */
  async #look(currency: string, assetId: string, requester?: string): Promise<QuoteReading | undefined> {
    const [stored] = await this.#deps.store.readMany(currency, [assetId]);
    const quote = stored?.quote;
    if (stored?.failure !== undefined) this.#deps.mirror.putFailure(currency, stored.failure);
    if (quote === undefined) return undefined;
    this.#deps.mirror.put(quote);
    const state = this.#freshness(quote);
    if (state === 'stale') this.#renew(currency, assetId, requester);
    return { assetId, state, quote, reason: stored?.failure?.reason };
  }

  #renew(currency: string, assetId: string, requester: string | undefined): void {
    const key = `${currency}:${assetId}`;
    const now = this.#deps.clock.now();
    if (now - (this.#renewedAt.get(key) ?? 0) < renewEveryMs) return;
    if (this.#renewedAt.size >= maxRenewals) this.#renewedAt.clear();
    this.#renewedAt.set(key, now);
    // Nobody waits for it, so nobody hears of a failure: the next read asks again.
    void this.#deps.renew(currency, assetId, requester).catch(() => undefined);
  }

  async #ranking(currency: string, waitMs: number): Promise<Ranking | undefined> {
    const { mirror, store } = this.#deps;
    const held = mirror.ranking(currency);
    if (held !== undefined && this.#age(held.receivedAt) < this.#deps.freshMs) return held;
    const stored = await store.readRanking(currency);
    if (stored !== undefined) mirror.putRanking(currency, stored);
    if (stored === undefined || this.#age(stored.receivedAt) >= this.#deps.freshMs) {
      const arrival = this.#nextRanking(currency, stored === undefined ? waitMs : 0);
      await this.#deps.kickMarkets(currency);
      return (await arrival) ?? stored;
    }
    return stored;
  }

  async #nextRanking(currency: string, waitMs: number): Promise<Ranking | undefined> {
    if (waitMs === 0) return undefined;
    return await new Promise((resolve) => {
      const end = (ranking: Ranking | undefined): void => {
        clearTimeout(timer);
        stop();
        resolve(ranking);
      };
      const stop = this.#deps.ticks.listen({
        onTick: (tick) => {
          if (tick.currency === currency && (tick.page ?? 1) === 1 && tick.popular !== undefined)
            end(tick.popular);
        },
      });
      const timer = setTimeout(() => end(undefined), waitMs);
    });
  }

  async #readingsOf(currency: string, assetIds: readonly string[]): Promise<readonly QuoteReading[]> {
    const { mirror, store } = this.#deps;
    const absent = assetIds.filter((id) => mirror.get(currency, id) === undefined);
    const stored = await orHeld(store.readMany(currency, absent), () => []);
    for (const { quote } of stored) if (quote !== undefined) mirror.put(quote);
    return assetIds.map((assetId) => {
      const quote = mirror.get(currency, assetId);
      return quote === undefined
        ? { assetId, state: 'pending' as const, quote }
        : { assetId, state: this.#freshness(quote), quote };
    });
  }

  #freshness(quote: CachedQuote): 'fresh' | 'stale' {
    return freshness(quote, this.#deps.clock.now(), this.#deps.freshMs);
  }

  #age(receivedAt: number): number {
    return this.#deps.clock.now() - receivedAt;
  }
}

/** Settles as `ask` does; while Redis cannot be asked, with what this process holds. */
async function orHeld<T>(ask: Promise<T>, held: () => T | undefined): Promise<T> {
  try {
    return await ask;
  } catch (error) {
    if (bugs.some((kind) => error instanceof kind)) throw error;
    const own = held();
    if (own !== undefined) return own;
    const options = { code: 'cache_unavailable', retryAfterSeconds: 2, cause: error };
    throw new UnavailableError('The cache does not answer', options);
  }
}

/** Errors that no outage explains. */
const bugs = [TypeError, RangeError, ReferenceError, SyntaxError];

const freshJson = new WeakMap<CachedQuote, string>();

/** The JSON of a fresh quote, made once per quote however often it is read. */
function jsonOfFresh(quote: CachedQuote): string {
  let json = freshJson.get(quote);
  if (json === undefined) {
    json = readingJson({ assetId: quote.assetId, state: 'fresh', quote });
    freshJson.set(quote, json);
  }
  return json;
}
