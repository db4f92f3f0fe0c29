/**
 * CoinGecko's JSON made into quotes. The checks are written by hand because 250 rows a call are read on the path on which a
 * user waits. Nothing is repaired: a field that is not what it should be is null, a price that is not a price is no
 * price, and a price of 0 is one if the source sent 0, unless it says in the same row that the asset is worth something.
 */
import type { MarketRow } from '../../../domain/market-row.ts';
import type { Quote } from '../../../domain/quote.ts';
import { amount, finite, instant, rankOf, text } from '../answer-fields.ts';
import type { AssetListing, QuotesResult } from '../provider.ts';
import { marketRowOf } from './coingecko-market-row.ts';

/** What all quotes of one answer share. */
export interface QuoteOrigin {
  readonly currency: string;
  readonly source: string;
  readonly receivedAt: number;
}

/** One element of a list that CoinGecko sent, unchecked but for its id. */
export type Row = Readonly<Record<string, unknown>>;

/** The rows of an answer that have an id. Undefined when it is not a list, or a list of something else. */
export function rowsOf(body: unknown): readonly Row[] | undefined {
  if (!Array.isArray(body)) return undefined;
  const rows = body.filter(
    (row): row is Row => typeof row === 'object' && row !== null && typeof (row as Row)['id'] === 'string',
  );
  return body.length > 0 && rows.length === 0 ? undefined : rows;
}

/**
 * Sorts the rows into quotes and the assets without one. An asset that was asked for and is not in the answer is not
 * found, even when the answer is an empty list: a good answer is the provider's word (an unknown currency gets a 4xx,
 * a failure gets no valid list), and whoever asks remembers "not found" only briefly.
 */
export function sortQuotes(rows: readonly Row[], ids: readonly string[], origin: QuoteOrigin): QuotesResult {
  const missing = new Set(ids);
  const quotes: Quote[] = [];
  const withoutPrice: string[] = [];
  const told: MarketRow[] = [];
  for (const row of rows) {
    const id = row['id'] as string;
    if (!missing.delete(id)) continue; // not asked for, or a second row of the same asset
    const quote = quoteOf(row, origin);
    if (quote === undefined) withoutPrice.push(id);
    else quotes.push(quote);
    told.push(marketRowOf(row, { ...origin, assetId: id, priced: quote !== undefined }));
  }
  return { quotes, notFound: [...missing], withoutPrice, rows: told };
}

/** The asset id of a row; undefined when it has none. */
export function assetIdOf(row: Row): string | undefined {
  const id = text(row['id']);
  return id === null || id === '' ? undefined : id;
}

/** The quote in a row of `/coins/markets`, or undefined when it has no usable price or no id. */
export function quoteOf(row: Row, origin: QuoteOrigin): Quote | undefined {
  const price = amount(row['current_price']);
  const assetId = assetIdOf(row);
  if (price === null || assetId === undefined) return undefined;
  if (price === 0 && (amount(row['market_cap']) ?? 0) > 0) return undefined;
  return {
    assetId,
    symbol: text(row['symbol'])?.toLowerCase() ?? null,
    name: text(row['name']),
    currency: origin.currency,
    price,
    marketCap: amount(row['market_cap']),
    rank: rankOf(row['market_cap_rank']),
    change24h: finite(row['price_change_24h']),
    changePercent24h: finite(row['price_change_percentage_24h']),
    volume24h: amount(row['total_volume']),
    source: origin.source,
    asOf: instant(row['last_updated']),
    receivedAt: origin.receivedAt,
  };
}

/** The asset in a row of `/coins/list`, its symbol as sent; undefined for rows without an id. Real lists hold some. */
export function listingOf(row: Row): AssetListing | undefined {
  const assetId = text(row['id']);
  if (assetId === null) return undefined;
  const symbol = text(row['symbol']) ?? '';
  const platforms = platformsOf(row['platforms']);
  return {
    assetId,
    symbol,
    name: text(row['name']) ?? '',
    ...(platforms === undefined ? {} : { platforms }),
  };
}

function platformsOf(value: unknown): Record<string, string | null> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string | null] => entry[1] === null || typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}
