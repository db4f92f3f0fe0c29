import type { HistoryPoint, HistorySpan } from '../../domain/history.ts';
import type { MarketRow } from '../../domain/market-row.ts';
import type { Quote } from '../../domain/quote.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { OpenHttp } from './http-get.ts';

/** One row of a provider's list of assets. */
export interface AssetListing {
  readonly assetId: string;
  /** As the provider writes it, capitals included. */
  readonly symbol: string;
  readonly name: string;
  /** Contract addresses by platform (empty where there is none); absent when not requested. */
  readonly platforms?: Readonly<Record<string, string | null>>;
}

/** Response to a request for the quotes of certain assets. */
export interface QuotesResult {
  readonly quotes: readonly Quote[];
  /** Requested, but unknown to the provider. */
  readonly notFound: readonly string[];
  /** Known to the provider, which has no usable price now (null, NaN, negative): `unpriced`. */
  readonly withoutPrice: readonly string[];
  /** Everything the provider sends about these assets; absent when that is no more than a quote. */
  readonly rows?: readonly MarketRow[];
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
  /** Every asset of the page in the provider's order, including those without a usable price. */
  readonly assetIds: readonly string[];
  readonly quotes: readonly Quote[];
  /** Those of the page that have no usable price now. */
  readonly withoutPrice: readonly string[];
  readonly rows?: readonly MarketRow[];
}

/** A document of CoinGecko's API that is passed on unchanged. */
export interface PassthroughProviderRequest {
  /** Path below the API's root, and its query: `/search/trending`, `/coins/bitcoin?tickers=false`. */
  readonly path: string;
  readonly signal: AbortSignal;
}

/** The prices of an asset over time. */
export interface HistoryRequest {
  readonly assetId: string;
  readonly currency: string;
  readonly span: HistorySpan;
  readonly signal: AbortSignal;
}

/** Options of every provider, whatever its API. */
export interface ProviderOptions {
  /** Total time of a call. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly clock: Clock;
  /** The source to put in quotes, if it is not the provider's own name. */
  readonly source?: string | undefined;
  /** Another transport: one that records, or one that plays back. */
  readonly openHttp?: OpenHttp | undefined;
}

/**
 * An external price source. Every method makes exactly one upstream call, so that one grant of the budget pays for it; it never
 * retries by itself.
 *
 * Each rejects with a {@link ProviderError} (provider-errors.ts) and with nothing else, except for an abort by the caller's
 * signal (then with the signal's reason).
 */
export interface PriceProvider {
  /** Name that quotes carry as `source`. */
  readonly source: string;
  readonly maxIdsPerCall: number;
  /** Longest id list (bytes, separators included) that fits the provider's URL limit. */
  readonly maxIdListBytes: number;
  /** Whether it has prices in this quote currency (lower case). Absent: in all. Nothing is ever converted. */
  serves?(currency: string): boolean;
  /** Credits that a call about this number of assets costs. Absent: always 1. */
  creditsOf?(assets: number): number;
  /** It has neither a ranking nor a list of assets: both reject. */
  readonly quotesOnly?: true;
  /** How many days back {@link fetchHistory} reaches. Absent: to the first price. */
  readonly historyDays?: number;
  fetchQuotes(request: QuotesRequest): Promise<QuotesResult>;
  /** A page of the market-cap ranking. A first page without any asset is an error: there are always some. */
  fetchMarkets(request: {
    readonly currency: string;
    /** 1-based page of 250 assets in the order of market capitalisation, the largest first. */
    readonly page: number;
    readonly signal: AbortSignal;
  }): Promise<MarketsResult>;
  /** The whole list of assets. Rows with an empty id are left out. */
  fetchAssets(signal: AbortSignal): Promise<readonly AssetListing[]>;
  /**
   * The JSON text of a document, checked to have the form that its path promises and only possible prices. Only if the provider
   * speaks CoinGecko's API.
   */
  fetchDocument?(request: PassthroughProviderRequest): Promise<string>;
  /**
   * Observed points, oldest first, each once; an empty list if the asset was not traded yet. Absent if the provider has no
   * history.
   */
  fetchHistory?(request: HistoryRequest): Promise<readonly HistoryPoint[]>;
  close(): Promise<void>;
}
