/**
 * How quotes are read. Reading never calls a provider. What this process does not have is read from Redis in one command, and
 * what Redis does not have is requested and waited for in one collection. Concurrent requests for the same assets share one
 * read.
 */
import {
  freshness,
  isReportable,
  readingJson,
  type CachedQuote,
  type QuoteReading,
} from '../../domain/cached-quote.ts';
import { messageOf, throwBugs, UnavailableError } from '../../domain/errors.ts';
import type { MarketRow } from '../../domain/market-row.ts';
import type { QuoteState } from '../../domain/quote.ts';
import { requesterText, type Requester } from '../../domain/requester.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { CollectQuotes } from './collect-quotes.ts';
import type { Want } from './demand/demand.ts';
import type { ReadCounter } from './demand/interest.ts';
import type { EnqueueRefresh } from './enqueue-refresh.ts';
import type { LocalCache } from './local-cache.ts';
import type { MarketRowStore, QuoteStore } from './quote-store.ts';
import type { Ranking, TickPublisher, TickSubscriber } from './ticks.ts';

interface ReaderDeps {
  readonly local: LocalCache;
  readonly store: Pick<QuoteStore, 'readMany' | 'readRanking' | 'clear'>;
  readonly rowStore: Pick<MarketRowStore, 'read'>;
  readonly ticks: TickSubscriber;
  readonly publisher: Pick<TickPublisher, 'publishClearing'>;
  readonly collect: CollectQuotes;
  readonly want: Want;
  readonly enqueue: Pick<EnqueueRefresh, 'markets'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly freshMs: number;
  /** State of an asset or a ranking that was requested and has not arrived. */
  readonly pendingState: () => Promise<QuoteState>;
  /** Counts every read that is answered from the cache. */
  readonly reads: ReadCounter;
}

/** Which quotes are read, in one currency. */
interface ManyRequest {
  readonly currency: string;
  /** Without duplicates. */
  readonly assetIds: readonly string[];
  /** Longest wait in milliseconds for quotes that are not cached yet; 0 requests nothing and does not wait. */
  readonly waitMs: number;
  /** Who is charged for the upstream calls that this may cause; nobody when absent. */
  readonly requester?: Requester | undefined;
}

interface RankingRequest {
  readonly currency: string;
  /** 1-based page of 250 assets. */
  readonly page: number;
  /** Longest wait in milliseconds for a page that is not cached yet. */
  readonly waitMs: number;
}

/** A stale quote whose renewal was requested is not requested again by this process within this time (ms). */
const askEveryMs = 1_000;
const maxRequested = 20_000;
const unreachable = 'the cache cannot be reached';

/** Reads quotes for one process, over its local cache, the fleet's cache and demand. */
export class QuoteReader {
  /** How long (ms) a quote is fresh after it was received. */
  readonly freshMs: number;
  readonly #deps: ReaderDeps;
  /** When a renewal was last requested, by `currency:asset` or `currency#page`. */
  readonly #requestedAt = new Map<string, number>();
  /** Reads in progress, so that concurrent requests for the same assets read Redis once. */
  readonly #underWay = new Map<string, Promise<ReadonlyMap<string, QuoteReading>>>();
  #version = 0;
  #hits = 0;
  #misses = 0;

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
    this.freshMs = deps.freshMs;
    const changed = (): void => {
      this.#version += 1;
    };
    deps.ticks.listen({ onTick: changed, onClear: changed, onGap: changed });
  }

  /** Changes whenever a quote in the local cache may have been replaced by a tick. */
  version(): number {
    return this.#version;
  }

  /** A fresh quote from the local cache, without I/O; undefined when there is none. */
  peekFresh(currency: string, assetId: string): CachedQuote | undefined {
    const quote = this.#deps.local.get(currency, assetId);
    return quote === undefined || this.#freshness(quote) === 'stale' ? undefined : quote;
  }

  /** The same as the JSON text that clients get, counted as a read. */
  peekFreshJson(assetId: string, currency: string): string | undefined {
    const quote = this.peekFresh(currency, assetId);
    if (quote === undefined) return undefined;
    this.#hits++;
    this.#deps.reads.asset(currency, assetId);
    return jsonOfFresh(quote);
  }

  /**
   * What is known of an asset. A stale quote is returned at once and its renewal requested; without a usable quote, the
   * pipeline has `waitMs` to fetch one.
   * @throws {UnavailableError} Redis does not answer, and this process has no quote.
   */
  async get({
    assetId,
    currency,
    ...request
  }: Omit<ManyRequest, 'assetIds'> & { readonly assetId: string }): Promise<QuoteReading> {
    const { local, clock, reads } = this.#deps;
    const held = local.get(currency, assetId);
    // Assets returned by a collection are counted there.
    if (held !== undefined) reads.asset(currency, assetId);
    if (held !== undefined && this.#freshness(held) === 'fresh') {
      this.#hits++;
      return { assetId, state: 'fresh', quote: held };
    }
    const failure = local.failure(currency, assetId, clock.now());
    if (failure !== undefined && failure.state !== 'unavailable' && held === undefined) {
      this.#hits++;
      return { assetId, state: failure.state, quote: undefined, reason: failure.reason };
    }
    this.#misses++;
    const readings = await this.#askFleet({ ...request, currency, assetIds: [assetId] }, true);
    return readings.get(assetId) ?? { assetId, state: 'pending', quote: undefined };
  }

  /**
   * What is known of each asset. Stale quotes are returned at once and their renewal requested.
   * @throws {UnavailableError} Redis does not answer, and this process has no quote.
   */
  async getMany(request: ManyRequest): Promise<ReadonlyMap<string, QuoteReading>> {
    const { currency, assetIds, waitMs } = request;
    const readings = new Map<string, QuoteReading>();
    const unknown: string[] = [];
    for (const assetId of assetIds) {
      const reading = this.#held(currency, assetId);
      if (reading === undefined) unknown.push(assetId);
      else readings.set(assetId, reading);
      if (waitMs > 0 && reading?.quote !== undefined) this.#deps.reads.asset(currency, assetId);
    }
    if (unknown.length === 0) return readings;
    const requested = await this.#askFleet({ ...request, assetIds: unknown }, waitMs > 0);
    for (const [assetId, reading] of requested) readings.set(assetId, reading);
    return readings;
  }

  /** The first `limit` (1 to 250) assets by market capitalisation with their quotes, in that order. */
  async popular({
    currency,
    limit,
    waitMs,
  }: Omit<RankingRequest, 'page'> & { readonly limit: number }): Promise<{
    readonly state: Exclude<QuoteState, 'not_found'>;
    readonly readings: readonly QuoteReading[];
  }> {
    const ranking = await this.#ranking({ currency, page: 1, waitMs });
    if (ranking === undefined) {
      const state = await this.#deps.pendingState();
      return { state: state === 'rate_limited' ? 'rate_limited' : 'pending', readings: [] };
    }
    this.#deps.reads.page(currency, 1);
    const assetIds = ranking.assetIds.slice(0, limit);
    await this.load(currency, assetIds).catch(throwBugs);
    const readings = assetIds.map((assetId): QuoteReading => {
      const quote = this.#deps.local.get(currency, assetId);
      if (quote !== undefined) return { assetId, state: this.#freshness(quote), quote };
      const failure = this.#deps.local.reported(currency, assetId, this.#deps.clock.now());
      return { assetId, state: failure?.state ?? 'pending', quote, reason: failure?.reason };
    });
    if (!readings.some(({ quote }) => quote !== undefined)) return { state: 'unavailable', readings: [] };
    return { state: this.#isFresh(ranking.receivedAt) ? 'fresh' : 'stale', readings };
  }

  /**
   * A page of the ranking, renewed in the background when it is stale; undefined when none has arrived in time.
   * @throws {UnavailableError} Redis does not answer, and this process has no page.
   */
  async ranking(request: RankingRequest): Promise<Ranking | undefined> {
    this.#deps.reads.page(request.currency, request.page);
    return await this.#ranking(request);
  }

  /** Market rows by asset id; empty while Redis is unavailable. */
  async rows(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, MarketRow>> {
    try {
      return await this.#deps.rowStore.read(currency, assetIds);
    } catch (error) {
      // Quotes can stand in for rows; without Redis that is better than nothing.
      this.#deps.log.debug({ reason: messageOf(error) }, 'market rows cannot be read');
      return new Map();
    }
  }

  /** Counts reads of quotes, or of a page of the ranking, that the caller answered from its own copy. */
  noteReads({
    quotes,
    pages,
    times,
  }: {
    readonly quotes: readonly CachedQuote[];
    readonly pages: readonly Pick<RankingRequest, 'currency' | 'page'>[];
    readonly times: number;
  }): void {
    const { reads } = this.#deps;
    for (const { currency, page } of pages) reads.page(currency, page, times);
    if (pages.length > 0) return;
    for (const { currency, assetId } of quotes) reads.asset(currency, assetId, times);
  }

  /** Reads into the local cache what it lacks of the fleet's cache. Rejects when Redis does not answer. */
  async load(currency: string, assetIds: readonly string[]): Promise<void> {
    const { local, store } = this.#deps;
    const absent = assetIds.filter((id) => local.get(currency, id) === undefined);
    for (const { quote, failure } of await store.readMany(currency, absent)) {
      if (quote !== undefined) local.put(quote);
      if (failure !== undefined) local.putFailure(currency, failure);
    }
  }

  /**
   * Deletes quotes from the cache, of the given assets or all. Every process follows. Returns how many keys were deleted.
   * @throws {UnavailableError} Redis does not answer.
   */
  async clear(assetIds?: readonly string[]): Promise<number> {
    const { store, publisher, local } = this.#deps;
    const removed = await store.clear(assetIds ?? null).catch((error: unknown) => {
      throwBugs(error);
      throw cacheAway(error);
    });
    await publisher.publishClearing(assetIds ?? null);
    local.onClear(assetIds ?? null);
    return removed;
  }

  /** What the local cache holds and how it was used. Ages in seconds; null when empty. */
  stats() {
    const now = this.#deps.clock.now();
    const ages: number[] = [];
    let fresh = 0;
    let bytes = 0;
    for (const quote of this.#deps.local.quotes()) {
      ages.push((now - quote.receivedAt) / 1000);
      if (this.#freshness(quote) === 'fresh') fresh++;
      bytes += quote.head.length * 2 + 200;
    }
    ages.sort((a, b) => a - b);
    const at = (share: number): number | null => ages[Math.ceil(ages.length * share) - 1] ?? null;
    return {
      entries: ages.length,
      by_state: { fresh, stale: ages.length - fresh, not_found: this.#deps.local.notFoundCount(now) },
      hits: this.#hits,
      misses: this.#misses,
      age_seconds: { p50: at(0.5), p99: at(0.99), max: at(1) },
      memory_bytes: bytes,
    };
  }

  /** What this process can answer without Redis. */
  #held(currency: string, assetId: string): QuoteReading | undefined {
    const { local, clock } = this.#deps;
    const quote = local.get(currency, assetId);
    if (quote !== undefined) {
      const state = this.#freshness(quote);
      const suffices = state === 'fresh' || this.#wasRequested(`${currency}:${assetId}`);
      return suffices ? { assetId, state, quote } : undefined;
    }
    const now = clock.now();
    const failure = local.reported(currency, assetId, now);
    if (failure === undefined || failure.state === 'unavailable') return undefined;
    const suffices = failure.until > now || this.#wasRequested(`${currency}:${assetId}`);
    return suffices ? { assetId, state: failure.state, quote, reason: failure.reason } : undefined;
  }

  /** Reads from Redis, then waits for what is missing; while Redis is unavailable, local values have to do. */
  async #askFleet(request: ManyRequest, renews: boolean): Promise<ReadonlyMap<string, QuoteReading>> {
    const { currency, assetIds, waitMs } = request;
    const key = `${currency}:${waitMs}:${renews}:${assetIds.join()}`;
    let requested = this.#underWay.get(key);
    if (requested === undefined) {
      requested = this.#readAndCollect(request, renews)
        .catch((error: unknown) => this.#heldInstead(request, error))
        .finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, requested);
    }
    return await requested;
  }

  async #readAndCollect(
    { currency, assetIds, waitMs, requester: who }: ManyRequest,
    renews: boolean,
  ): Promise<Map<string, QuoteReading>> {
    const { local, collect } = this.#deps;
    const requester = who && requesterText(who);
    const readings = await this.#readStore(currency, assetIds);
    if (renews) this.#renew(currency, this.#staleOf(currency, readings), requester);
    const missing = assetIds.filter((id) => !readings.has(id));
    if (missing.length === 0) return readings;
    const wanted = { currency, assetIds: missing, urgency: 'interactive', waitMs, requester } as const;
    for (const [assetId, reading] of await collect(wanted)) {
      if (reading.quote !== undefined) local.put(reading.quote);
      readings.set(assetId, reading);
    }
    return readings;
  }

  /** What Redis has: quotes of any age, because ticks may have been missed, and which assets have none at the moment. */
  async #readStore(currency: string, assetIds: readonly string[]): Promise<Map<string, QuoteReading>> {
    const { store, local, clock } = this.#deps;
    const stored = await store.readMany(currency, assetIds);
    const readings = new Map<string, QuoteReading>();
    for (const [index, assetId] of assetIds.entries()) {
      const { quote, failure } = stored[index] ?? {};
      if (failure !== undefined) local.putFailure(currency, failure);
      if (quote !== undefined) {
        local.put(quote);
        readings.set(assetId, { assetId, state: this.#freshness(quote), quote, reason: failure?.reason });
      } else if (failure !== undefined && isReportable(failure, clock.now())) {
        readings.set(assetId, { assetId, state: failure.state, quote, reason: failure.reason });
      }
    }
    return readings;
  }

  #heldInstead({ currency, assetIds }: ManyRequest, error: unknown): Map<string, QuoteReading> {
    throwBugs(error);
    const readings = new Map<string, QuoteReading>();
    let isAnyHeld = false;
    for (const assetId of assetIds) {
      const { local, clock } = this.#deps;
      const quote = local.get(currency, assetId);
      const failure = quote === undefined ? local.reported(currency, assetId, clock.now()) : undefined;
      if (failure?.state === 'unpriced')
        readings.set(assetId, { assetId, state: 'unpriced', quote, reason: failure.reason });
      else {
        const state = quote === undefined ? 'unavailable' : this.#freshness(quote);
        readings.set(assetId, { assetId, state, quote, reason: unreachable });
      }
      isAnyHeld ||= quote !== undefined || failure?.state === 'unpriced';
    }
    if (!isAnyHeld) throw cacheAway(error);
    return readings;
  }

  /** Requests newer quotes without making the caller wait. */
  #renew(currency: string, stale: readonly string[], requester: string | undefined): void {
    const assetIds = stale.filter((id) => !this.#wasRequested(`${currency}:${id}`));
    if (assetIds.length === 0) return;
    this.#noteRequested(assetIds.map((id) => `${currency}:${id}`));
    // Ordered together with what users wait for, but behind this user's own requests. Failures are ignored: the next read asks
    // again.
    const wanted = { currency, assetIds, urgency: 'interactive', isPatient: true, requester } as const;
    void this.#deps.want(wanted).catch(() => undefined);
  }

  #noteRequested(keys: readonly string[]): void {
    if (this.#requestedAt.size + keys.length > maxRequested) this.#requestedAt.clear();
    const now = this.#deps.clock.now();
    for (const key of keys) this.#requestedAt.set(key, now);
  }

  #wasRequested(key: string): boolean {
    return this.#deps.clock.now() - (this.#requestedAt.get(key) ?? 0) < askEveryMs;
  }

  async #ranking({ currency, page, waitMs }: RankingRequest): Promise<Ranking | undefined> {
    const { local, store, enqueue, log } = this.#deps;
    const key = `${currency}#${page}`;
    const held = local.ranking(currency, page);
    if (held !== undefined && (this.#isFresh(held.receivedAt) || this.#wasRequested(key))) return held;
    let stored: Ranking | undefined;
    try {
      stored = await store.readRanking(currency, page);
    } catch (error) {
      throwBugs(error);
      if (held === undefined) throw cacheAway(error);
      return held;
    }
    if (stored !== undefined) local.putRanking(currency, stored, page);
    if (stored !== undefined && this.#isFresh(stored.receivedAt)) return stored;
    this.#noteRequested([key]);
    // Subscribe before requesting: the page may arrive at once.
    const arrival = this.#nextRanking({ currency, page, waitMs: stored === undefined ? waitMs : 0 });
    await enqueue.markets(currency, { page }).catch((error: unknown) => {
      log.debug({ reason: messageOf(error) }, 'a ranking could not be requested');
    });
    return (await arrival) ?? stored;
  }

  async #nextRanking({ currency, page, waitMs }: RankingRequest): Promise<Ranking | undefined> {
    if (waitMs === 0) return undefined;
    return await new Promise((resolve) => {
      const end = (ranking: Ranking | undefined): void => {
        clearTimeout(timer);
        stop();
        resolve(ranking);
      };
      const stop = this.#deps.ticks.listen({
        onTick: (tick) => {
          if (tick.currency === currency && (tick.page ?? 1) === page && tick.popular !== undefined)
            end(tick.popular);
        },
      });
      const timer = setTimeout(() => end(undefined), waitMs);
    });
  }

  /** What was read and is to be asked again: stale quotes, and unpriced assets that have been so for as long. */
  #staleOf(currency: string, readings: ReadonlyMap<string, QuoteReading>): string[] {
    const { local, clock } = this.#deps;
    return [...readings.values()].flatMap(({ state, assetId }) => {
      const isOld = state === 'unpriced' && local.failure(currency, assetId, clock.now()) === undefined;
      return state === 'stale' || isOld ? [assetId] : [];
    });
  }

  #freshness(quote: CachedQuote): 'fresh' | 'stale' {
    return freshness(quote, this.#deps.clock.now(), this.freshMs);
  }

  #isFresh(receivedAt: number): boolean {
    return this.#deps.clock.now() - receivedAt < this.freshMs;
  }
}

function cacheAway(cause: unknown): UnavailableError {
  const options = { code: 'cache_unavailable', retryAfterSeconds: 2, cause };
  return new UnavailableError('Cache unavailable', options);
}

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
