import type { CachedQuote, QuoteReading } from '../../domain/cached-quote.ts';
import type { MarketRow } from '../../domain/market-row.ts';
import type { Requester } from '../../domain/requester.ts';
import type { Ranking } from './ticks.ts';

/** A question about assets in one currency. */
export interface QuotesRead {
  readonly currency: string;
  /** Each once. */
  readonly assetIds: readonly string[];
  /** Longest wait in milliseconds for quotes that are not cached yet; 0 wants nothing and waits for nothing. */
  readonly waitMs: number;
  readonly requester?: Requester | undefined;
}

/** A question about a page of the ranking by market capitalisation. */
export interface RankingRead {
  readonly currency: string;
  /** 1-based page of 250 assets. */
  readonly page: number;
  readonly waitMs: number;
}

/** Reads that the market reader did not see. */
export interface HeldReads {
  readonly quotes: readonly CachedQuote[];
  readonly pages: readonly Pick<RankingRead, 'currency' | 'page'>[];
  readonly times: number;
}

/** How handlers read many prices. None of these ever calls a provider. */
export interface MarketReader {
  /** A fresh quote from this process's own copy. */
  peekFresh(currency: string, assetId: string): CachedQuote | undefined;
  /** How long (ms) a quote is fresh after it was received. */
  readonly freshMs: number;
  /** Changes whenever a quote in this process's own copy may have been replaced by a tick. */
  version(): number;
  /** What is known of each asset. Stale quotes are returned at once and asked to be renewed. */
  quotes(asked: QuotesRead): Promise<ReadonlyMap<string, QuoteReading>>;
  /** Counts reads of quotes, or instead of a page of the ranking, that were answered from what the caller held. */
  noteReads(held: HeldReads): void;
  /** Market rows by asset id; empty while Redis cannot be asked. */
  rows(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, MarketRow>>;
  /** A page of the ranking, renewed behind the reader when it is stale; undefined when none has come in time. */
  ranking(asked: RankingRead): Promise<Ranking | undefined>;
}
