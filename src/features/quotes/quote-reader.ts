import type { QuoteReading } from '../../domain/cached-quote.ts';
import type { Requester } from '../../domain/requester.ts';

/** The ranking by market capitalisation, with its quotes in that order. */
export interface PopularReading {
  readonly state: 'fresh' | 'stale' | 'pending' | 'rate_limited' | 'unavailable';
  readonly readings: readonly QuoteReading[];
}

/** Counts of what the process's copy of the cache holds and how it was used. */
export interface CacheStats {
  readonly entries: number;
  readonly by_state: { readonly fresh: number; readonly stale: number; readonly not_found: number };
  readonly hits: number;
  readonly misses: number;
  /** Ages in seconds; null when empty. */
  readonly age_seconds: {
    readonly p50: number | null;
    readonly p99: number | null;
    readonly max: number | null;
  };
  readonly memory_bytes: number;
}

/** A question about one asset. */
export interface QuoteRead {
  readonly assetId: string;
  readonly currency: string;
  /** Longest wait in milliseconds for a quote that is not cached yet. */
  readonly waitMs: number;
  /** Who is charged for the upstream call that this may cause; nobody when absent. */
  readonly requester?: Requester | undefined;
}

/** How handlers read prices. None of these ever calls a provider: what is missing is wanted, and waited for. */
export interface QuoteReader {
  /**
   * A fresh quote from this process's own copy, without touching a socket; undefined when there is none.
   * Returns the JSON text of the quote as clients get it.
   */
  peekFreshJson(assetId: string, currency: string): string | undefined;
  /**
   * What is known of an asset. A stale quote is returned at once and asked to be renewed; when there is no usable quote the
   * pipeline has `waitMs` to bring one.
   */
  read(asked: QuoteRead): Promise<QuoteReading>;
  /** The first `limit` (1 to 250) assets by market capitalisation. */
  readPopular(currency: string, limit: number, waitMs: number): Promise<PopularReading>;
  /** Forgets quotes: of the assets named, or all. Every process follows. Returns how many keys were removed. */
  clear(assetIds?: readonly string[]): Promise<number>;
  stats(): CacheStats;
}
