import type { Quote } from '../domain/quote.ts';

/** One row of a provider's list of assets. */
export interface AssetListing {
  readonly assetId: string;
  readonly symbol: string;
  readonly name: string;
}

/** Answer to a request for the quotes of certain assets. */
export interface QuotesResult {
  readonly quotes: readonly Quote[];
  /** Asked for, and unknown to the provider. */
  readonly notFound: readonly string[];
  /** Known to the provider, which has no usable price now (null, NaN, negative). */
  readonly withoutPrice: readonly string[];
}

export interface QuotesRequest {
  /** At most {@link PriceProvider.maxIdsPerCall} asset ids. */
  readonly ids: readonly string[];
  /** Quote currency in lower case. */
  readonly currency: string;
  readonly signal: AbortSignal;
}

/** A page of the ranking by market capitalisation. */
export interface MarketsResult {
  /** Every asset of the page in the provider's order, those without a usable price too. */
  readonly assetIds: readonly string[];
  readonly quotes: readonly Quote[];
}

export interface MarketsRequest {
  readonly currency: string;
  /** 1-based page of 250 assets in the order of market capitalisation, the largest first. */
  readonly page: number;
  readonly signal: AbortSignal;
}

/**
 * An external price source. Every method makes exactly one upstream call, so that one grant of the budget pays for it;
 * it never retries by itself.
 *
 * Each rejects with a {@link ProviderError} of `src/providers/errors.ts` and with nothing else, abort by the caller's
 * signal excepted (then with the signal's reason).
 */
export interface PriceProvider {
  /** Name that quotes carry as `source`. */
  readonly source: string;
  readonly maxIdsPerCall: number;
  /** Longest id list (bytes, separators included) that fits the provider's URL limit. */
  readonly maxIdListBytes: number;
  fetchQuotes(request: QuotesRequest): Promise<QuotesResult>;
  /** A page of the market-cap ranking. A first page without any asset is an error: there are always some. */
  fetchMarkets(request: MarketsRequest): Promise<MarketsResult>;
  /** The whole list of assets. Rows with an empty id are left out. */
  fetchAssets(signal: AbortSignal): Promise<readonly AssetListing[]>;
  close(): Promise<void>;
}
