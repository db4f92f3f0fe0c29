/**
 * The latest price of an asset in a quote currency, as one provider gave it. Nothing here is computed or repaired by us:
 * a field the provider did not send is null.
 */
export interface Quote {
  /** Stable asset id (CoinGecko's id), such as `bitcoin`. */
  readonly assetId: string;
  /** Ticker symbol in lower case; not unique. */
  readonly symbol: string | null;
  readonly name: string | null;
  /** Quote currency in lower case, such as `usd`. */
  readonly currency: string;
  /** Price of one unit, as the source sent it. Finite and not negative. */
  readonly price: number;
  readonly marketCap: number | null;
  /** Rank by market capitalisation, 1 is the largest. */
  readonly rank: number | null;
  /** Absolute change over 24 hours, in the quote currency. */
  readonly change24h: number | null;
  /** Change over 24 hours in per cent. */
  readonly changePercent24h: number | null;
  readonly volume24h: number | null;
  /** The source of the price: `coingecko`, `simulated`, `replay`. */
  readonly source: string;
  /**
   * When the price was observed according to the source (ISO 8601); may be years ago in a replay. Null if it does not
   * say.
   */
  readonly asOf: string | null;
  /** When we received it, in milliseconds since the Unix epoch. Only this decides whether it is fresh. */
  readonly receivedAt: number;
}

/**
 * What a caller gets for an asset:
 * - `fresh`: a quote received within the freshness window;
 * - `stale`: a good quote that is older than that;
 * - `pending`: wanted, and on its way;
 * - `rate_limited`: wanted, no value yet, and no budget to get one now;
 * - `unpriced`: the provider lists the asset, and has no price for it;
 * - `unavailable`: no value, and the provider fails;
 * - `not_found`: the provider does not know the asset.
 */
export type QuoteState =
  'fresh' | 'stale' | 'pending' | 'rate_limited' | 'unpriced' | 'unavailable' | 'not_found';

/**
 * How urgently something is wanted, the most urgent first: a user waits, a stream shows it, it is kept warm, or history
 * is filled.
 */
export const urgencies = ['interactive', 'stream', 'warming', 'backfill'] as const;
export type Urgency = (typeof urgencies)[number];
