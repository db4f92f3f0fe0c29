import { isReportable, type CachedQuote, type QuoteFailure } from '../../domain/cached-quote.ts';
import type { Ranking, Tick } from './ticks.ts';

/** Enough for every asset there is, in several currencies. */
const maxEntries = 100_000;
const maxFailures = 20_000;
/** Pages of rankings: of every asset there is, in several currencies. */
const maxRankings = 500;

export type LocalCache = ReturnType<typeof createLocalCache>;

/**
 * This process's own copy of the cache, so that a cached read needs no I/O. Ticks keep it current; when ticks may have been
 * missed, its quotes simply grow old and are read from Redis again, because freshness is judged at every read. Bounded: at the
 * limit the oldest entries are removed.
 */
export function createLocalCache(limit = maxEntries) {
  const quotes = new Map<string, CachedQuote>();
  const failures = new Map<string, QuoteFailure>();
  const rankings = new Map<string, Ranking>();

  const put = (quote: CachedQuote): void => {
    const key = keyOf(quote.currency, quote.assetId);
    const held = quotes.get(key);
    if (held !== undefined && held.receivedAt > quote.receivedAt) return;
    setBounded(quotes, limit, { key, value: quote });
    failures.delete(key);
  };
  const clear = (): void => {
    for (const map of [quotes, failures, rankings]) map.clear();
  };
  const putFailure = (currency: string, failure: QuoteFailure): void =>
    setBounded(failures, maxFailures, { key: keyOf(currency, failure.assetId), value: failure });
  const putRanking = (currency: string, ranking: Ranking, page = 1): void =>
    setBounded(rankings, maxRankings, { key: keyOf(currency, String(page)), value: ranking });

  return {
    get: (currency: string, assetId: string): CachedQuote | undefined => quotes.get(keyOf(currency, assetId)),
    /** Why there is no quote; it need not be asked for. */
    failure(currency: string, assetId: string, now: number): QuoteFailure | undefined {
      const held = failures.get(keyOf(currency, assetId));
      return held !== undefined && held.until > now ? held : undefined;
    },
    /** The same, and also that an asset was unpriced when that is to be asked again. */
    reported(currency: string, assetId: string, now: number): QuoteFailure | undefined {
      const held = failures.get(keyOf(currency, assetId));
      return held !== undefined && isReportable(held, now) ? held : undefined;
    },
    /** A page (1-based) of the ranking. */
    ranking: (currency: string, page = 1): Ranking | undefined => rankings.get(keyOf(currency, String(page))),
    put,
    putFailure,
    putRanking,
    /** All quotes held. */
    quotes: (): Iterable<CachedQuote> => quotes.values(),
    /** Number of failures held that say `not_found`. */
    notFoundCount: (now: number): number =>
      [...failures.values()].filter(({ state, until }) => state === 'not_found' && until > now).length,
    onTick(tick: Tick): void {
      for (const quote of tick.quotes) put(quote);
      for (const failure of tick.failures) putFailure(tick.currency, failure);
      if (tick.popular !== undefined) putRanking(tick.currency, tick.popular, tick.page);
    },
    // A clearing may be among what was missed.
    onGap: clear,
    onClear(assetIds: readonly string[] | null): void {
      if (assetIds === null) {
        clear();
        return;
      }
      const cleared = new Set(assetIds);
      for (const [key, { assetId }] of quotes) if (cleared.has(assetId)) quotes.delete(key);
      for (const [key, { assetId }] of failures) if (cleared.has(assetId)) failures.delete(key);
    },
  };
}

function keyOf(currency: string, assetId: string): string {
  return `${currency}:${assetId}`;
}

function setBounded<V>(map: Map<string, V>, limit: number, { key, value }: { key: string; value: V }): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= limit) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
