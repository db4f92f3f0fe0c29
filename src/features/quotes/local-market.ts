/**
 * Reads of many assets at once: what the process's own copy of the cache has not is asked of Redis in one command, what
 * Redis has not is collected in one go. A crowd that wants the same asks once.
 */
import { freshness, type CachedQuote, type QuoteReading } from '../../domain/cached-quote.ts';
import type { MarketRow } from '../../domain/market-row.ts';
import { requesterText } from '../../domain/requester.ts';
import type { ReadTally } from './demand/interest.ts';
import type { Ranking, TickSubscriber } from './ticks.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { CollectQuotes } from './collect-quotes.ts';
import type { MarketRowStore } from './market-row-store.ts';
import type { QuoteMirror } from './local-cache.ts';
import type { QuoteStore } from './quote-store.ts';
import type { HeldReads, MarketReader, QuotesRead, RankingRead } from './market-reader.ts';

export interface MarketReaderDeps {
  readonly mirror: QuoteMirror;
  readonly store: Pick<QuoteStore, 'readMany' | 'readRanking'>;
  readonly rowStore: Pick<MarketRowStore, 'read'>;
  readonly ticks: TickSubscriber;
  readonly collect: CollectQuotes;
  readonly clock: Clock;
  readonly log: Logger;
  readonly freshMs: number;
  /** Asks for newer quotes without waiting for them. */
  readonly renew: (currency: string, assetIds: readonly string[], requester?: string) => Promise<void>;
  /** Makes sure that a job fetches a page of the ranking. */
  readonly kickRanking: (currency: string, page: number) => Promise<void>;
  /** Told of every read that is answered from the cache. */
  readonly reads?: ReadTally | undefined;
}

/** What was asked of Redis and found stale is not asked for again by this process within this time (ms). */
const askEveryMs = 1_000;
const mostAsked = 20_000;

/** Builds the {@link MarketReader} of an API process. */
export function createMarketReader(deps: MarketReaderDeps): MarketReader {
  return new MirroredMarket(deps);
}

class MirroredMarket implements MarketReader {
  readonly #deps: MarketReaderDeps;
  readonly #askedAt = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<ReadonlyMap<string, QuoteReading>>>();
  #version = 0;

  constructor(deps: MarketReaderDeps) {
    this.#deps = deps;
    const changed = (): void => {
      this.#version += 1;
    };
    deps.ticks.listen({ onTick: changed, onClear: changed, onGap: changed });
  }

  get freshMs(): number {
    return this.#deps.freshMs;
  }

  version(): number {
    return this.#version;
  }

  peekFresh(currency: string, assetId: string): CachedQuote | undefined {
    const quote = this.#deps.mirror.get(currency, assetId);
    if (quote === undefined || this.#freshness(quote) === 'stale') return undefined;
    return quote;
  }

  async quotes(asked: QuotesRead): Promise<ReadonlyMap<string, QuoteReading>> {
    const { currency, assetIds, waitMs } = asked;
    const readings = new Map<string, QuoteReading>();
    const unknown: string[] = [];
    for (const assetId of assetIds) {
      const reading = this.#held(currency, assetId);
      if (reading === undefined) unknown.push(assetId);
      else readings.set(assetId, reading);
      if (waitMs > 0 && reading?.quote !== undefined) this.#deps.reads?.asset(currency, assetId);
    }
    if (unknown.length === 0) return readings;
    const key = `${currency}:${waitMs}:${unknown.join()}`;
    const outside = await this.#shared(key, () => this.#askFleet({ ...asked, assetIds: unknown }));
    for (const [assetId, reading] of outside) readings.set(assetId, reading);
    return readings;
  }

  noteReads({ quotes, pages, times }: HeldReads): void {
    const { reads } = this.#deps;
    if (reads === undefined) return;
    for (const { currency, page } of pages) reads.page(currency, page, times);
    if (pages.length > 0) return;
    for (const { currency, assetId } of quotes) reads.asset(currency, assetId, times);
  }

  async rows(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, MarketRow>> {
    try {
      return await this.#deps.rowStore.read(currency, assetIds);
    } catch (error) {
      // Quotes can stand in for rows; without Redis that is better than nothing.
      this.#deps.log.debug({ reason: messageOf(error) }, 'market rows cannot be read');
      return new Map();
    }
  }

  async ranking({ currency, page, waitMs }: RankingRead): Promise<Ranking | undefined> {
    const { mirror, store, kickRanking } = this.#deps;
    this.#deps.reads?.page(currency, page);
    const held = mirror.ranking(currency, page);
    if (held !== undefined && (this.#isFresh(held.receivedAt) || this.#wasAsked(`${currency}#${page}`)))
      return held;
    let stored: Ranking | undefined;
    try {
      stored = await store.readRanking(currency, page);
    } catch (error) {
      if (held === undefined) throw cacheAway(error);
      return held;
    }
    if (stored !== undefined) mirror.putRanking(currency, stored, page);
    if (stored !== undefined && this.#isFresh(stored.receivedAt)) return stored;
    this.#noteAsked([`${currency}#${page}`]);
    const arrival = this.#nextRanking({ currency, page, waitMs: stored === undefined ? waitMs : 0 });
    await kickRanking(currency, page).catch((error: unknown) => {
      this.#deps.log.debug({ reason: messageOf(error) }, 'a ranking was not asked for');
    });
    return (await arrival) ?? stored;
  }

  /** What this process may answer without asking Redis. */
  #held(currency: string, assetId: string): QuoteReading | undefined {
    const { mirror, clock } = this.#deps;
    const quote = mirror.get(currency, assetId);
    if (quote !== undefined) {
      const state = this.#freshness(quote);
      const suffices = state === 'fresh' || this.#wasAsked(`${currency}:${assetId}`);
      return suffices ? { assetId, state, quote } : undefined;
    }
    const failure = mirror.failure(currency, assetId, clock.now());
    return failure?.state === 'not_found' ? { assetId, state: 'not_found', quote: undefined } : undefined;
  }

  async #askFleet(asked: QuotesRead): Promise<ReadonlyMap<string, QuoteReading>> {
    try {
      return await this.#lookAndCollect(asked);
    } catch (error) {
      const own = this.#staleOf(asked);
      if (own.size === 0) throw cacheAway(error);
      return own;
    }
  }

  async #lookAndCollect(asked: QuotesRead): Promise<Map<string, QuoteReading>> {
    const { currency, assetIds, waitMs, requester: who } = asked;
    const requester = who && requesterText(who);
    const readings = await this.#look(currency, assetIds);
    const stale = [...readings.values()]
      .filter(({ state }) => state === 'stale')
      .map(({ assetId }) => assetId);
    if (stale.length > 0 && waitMs > 0) this.#renew(currency, stale, requester);
    const missing = assetIds.filter((id) => !readings.has(id));
    if (missing.length === 0) return readings;
    const collected = await this.#deps.collect({
      currency,
      assetIds: missing,
      urgency: 'interactive',
      waitMs,
      requester,
    });
    for (const [assetId, reading] of collected) {
      if (reading.quote !== undefined) this.#deps.mirror.put(reading.quote);
      readings.set(assetId, reading);
    }
    return readings;
  }

  /** What Redis has: quotes of any age, and which assets are known not to exist. */
  async #look(currency: string, assetIds: readonly string[]): Promise<Map<string, QuoteReading>> {
    const { store, mirror, clock } = this.#deps;
    const stored = await store.readMany(currency, assetIds);
    const readings = new Map<string, QuoteReading>();
    for (const [index, assetId] of assetIds.entries()) {
      const { quote, failure } = stored[index] ?? {};
      if (failure !== undefined) mirror.putFailure(currency, failure);
      if (quote !== undefined) {
        mirror.put(quote);
        readings.set(assetId, { assetId, state: this.#freshness(quote), quote, reason: failure?.reason });
      } else if (failure !== undefined && failure.until > clock.now()) {
        readings.set(assetId, { assetId, state: failure.state, quote, reason: failure.reason });
      }
    }
    return readings;
  }

  #staleOf({ currency, assetIds }: QuotesRead): Map<string, QuoteReading> {
    const readings = new Map<string, QuoteReading>();
    for (const assetId of assetIds) {
      const quote = this.#deps.mirror.get(currency, assetId);
      const reason = 'the cache cannot be reached';
      readings.set(
        assetId,
        quote === undefined
          ? { assetId, state: 'unavailable', quote, reason }
          : { assetId, state: this.#freshness(quote), quote, reason },
      );
    }
    return [...readings.values()].some(({ quote }) => quote !== undefined)
      ? readings
      : new Map<string, QuoteReading>();
  }

  #renew(currency: string, assetIds: readonly string[], requester: string | undefined): void {
    this.#noteAsked(assetIds.map((id) => `${currency}:${id}`));
    // Nobody waits for it, so nobody hears of a failure: the next read asks again.
    void this.#deps.renew(currency, assetIds, requester).catch(() => undefined);
  }

  #noteAsked(keys: readonly string[]): void {
    if (this.#askedAt.size + keys.length > mostAsked) this.#askedAt.clear();
    const now = this.#deps.clock.now();
    for (const key of keys) this.#askedAt.set(key, now);
  }

  #wasAsked(key: string): boolean {
    return this.#deps.clock.now() - (this.#askedAt.get(key) ?? 0) < askEveryMs;
  }

  async #shared(
    key: string,
    read: () => Promise<ReadonlyMap<string, QuoteReading>>,
  ): Promise<ReadonlyMap<string, QuoteReading>> {
    let reading = this.#underWay.get(key);
    if (reading === undefined) {
      reading = read().finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, reading);
    }
    return await reading;
  }

  async #nextRanking({ currency, page, waitMs }: RankingRead): Promise<Ranking | undefined> {
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

  #freshness(quote: CachedQuote): 'fresh' | 'stale' {
    return freshness(quote, this.#deps.clock.now(), this.#deps.freshMs);
  }

  #isFresh(receivedAt: number): boolean {
    return this.#deps.clock.now() - receivedAt < this.#deps.freshMs;
  }
}

function cacheAway(cause: unknown): UnavailableError {
  return new UnavailableError('The cache does not answer', {
    code: 'cache_unavailable',
    retryAfterSeconds: 2,
    cause,
  });
}
