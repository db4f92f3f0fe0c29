import type { CachedQuote, QuoteFailure } from '../../domain/cached-quote.ts';

/** The quotes that this process holds, as streams see them. */
export interface HeldQuotes {
  get(currency: string, assetId: string): CachedQuote | undefined;
  failure(currency: string, assetId: string, now: number): QuoteFailure | undefined;
  /** Reads what is not held from the fleet's cache. Rejects when that does not answer. */
  load(currency: string, assetIds: readonly string[]): Promise<void>;
}
