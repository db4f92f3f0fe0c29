import type { Quote, QuoteState } from './quote.ts';

/**
 * A quote as stored in the cache: its JSON for clients is made once, when it arrives, and only copied afterwards.
 * `head` is that JSON object without its state and closing brace, because the state depends on when it is read.
 */
export interface CachedQuote {
  readonly assetId: string;
  readonly currency: string;
  /** Milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  readonly head: string;
}

/**
 * Why an asset has no usable quote at the moment; remembered until `until` (milliseconds since the Unix epoch). An
 * `unpriced` asset is requested again from then on, and until then served as it is, like a stale quote.
 */
export interface QuoteFailure {
  readonly assetId: string;
  readonly state: 'not_found' | 'unavailable' | 'unpriced';
  readonly reason: string;
  readonly until: number;
}

/** The reason of an `unpriced` asset. */
export const withoutPriceReason = 'the price source has no price for this asset';

/** How long (ms) an asset is reported as unpriced after it should have been requested again. */
export const unpricedKeptMs = 600_000;

/**
 * Whether a failure is the answer for an asset without a quote: it is in force, or an unpriced asset is being requested
 * again.
 */
export function isReportable({ state, until }: QuoteFailure, now: number): boolean {
  return until + (state === 'unpriced' ? unpricedKeptMs : 0) > now;
}

/**
 * Start of the reason of an `unavailable` asset when the source refuses our requests; the words of the source follow.
 */
const refusedReason = 'the price source refuses our requests';

/** The reason of a failure that is a refusal with these words of the source. */
export function refusalOf(said: string): string {
  return `${refusedReason}: ${said}`;
}

/** Whether a reason is one of {@link refusalOf}. */
export function isRefusal(reason: string | undefined): reason is string {
  return reason?.startsWith(refusedReason) ?? false;
}

/** What is known of one asset at the time of reading. */
export interface QuoteReading {
  readonly assetId: string;
  readonly state: QuoteState;
  /** Present for `fresh` and `stale`. */
  readonly quote: CachedQuote | undefined;
  /** Why there is no fresh value, for people. */
  readonly reason?: string | undefined;
}

/** Makes the cached form of a quote. */
export function toCachedQuote(quote: Quote): CachedQuote {
  const receivedAt = new Date(quote.receivedAt).toISOString();
  const json = JSON.stringify({
    id: quote.assetId,
    symbol: quote.symbol,
    name: quote.name,
    currency: quote.currency,
    price: quote.price,
    market_cap: quote.marketCap,
    rank: quote.rank,
    change_24h: quote.change24h,
    change_percent_24h: quote.changePercent24h,
    volume_24h: quote.volume24h,
    source: quote.source,
    as_of: quote.asOf,
    received_at: receivedAt,
    fetched_at: receivedAt,
  });
  return {
    assetId: quote.assetId,
    currency: quote.currency,
    receivedAt: quote.receivedAt,
    head: json.slice(0, -1),
  };
}

/** Whether a cached quote is `fresh` or `stale` at `now`. */
export function freshness(quote: CachedQuote, now: number, freshMs: number): 'fresh' | 'stale' {
  return now - quote.receivedAt < freshMs ? 'fresh' : 'stale';
}

/**
 * JSON object of a reading, as it stands in answers: the quote with its state, or the asset id with the reason. That an asset is
 * unpriced is no error: it has a price, which is null.
 */
export function readingJson(reading: QuoteReading): string {
  if (reading.quote === undefined) {
    const { assetId: id, state, reason = withoutPriceReason } = reading;
    if (state === 'unpriced') return JSON.stringify({ id, price: null, state, reason });
    return JSON.stringify({ id: reading.assetId, state: reading.state, error: errorOf(reading) });
  }
  const error =
    reading.state === 'stale' && reading.reason !== undefined
      ? `,"error":${JSON.stringify(errorOf(reading))}`
      : '';
  return `${reading.quote.head},"state":"${reading.state}"${error}}`;
}

function errorOf(reading: QuoteReading): { code: string; message: string } {
  return { code: reading.state, message: reading.reason ?? defaultReasons[reading.state] };
}

const defaultReasons: Readonly<Record<QuoteState, string>> = {
  fresh: '',
  stale: 'no newer quote is available',
  pending: 'the quote is being fetched',
  rate_limited: 'the call limit of the price source is used up at the moment',
  unpriced: withoutPriceReason,
  unavailable: 'the price source does not respond',
  not_found: 'the price source does not know this asset',
};

/** Cannot stand inside a JSON text, where quotation marks are escaped. */
const priceField = '"price":';

/** The price of a cached quote, as the number that the source sent. */
export function priceOf(quote: CachedQuote): number {
  return Number.parseFloat(quote.head.slice(quote.head.indexOf(priceField) + priceField.length));
}
