/**
 * Rows of `/coins/markets`: what the source sent, with the figures of a newer quote if there is one. Nothing is
 * computed: what no source reported is null.
 */
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { MarketRow } from '../../domain/market-row.ts';

/** Decimal places of a price: a count, `full`, or CoinGecko's own choice. */
export type Precision = number | 'full' | undefined;

/**
 * JSON text of a price. Without a precision it is rounded as CoinGecko does by default: six significant digits, but
 * never fewer than two decimals. A price that CoinGecko sent already has this form; one of another source has more
 * digits.
 */
export function priceText(price: number, precision: Precision): string {
  return String(roundPrice(price, precision));
}

/** A price rounded as requested (see {@link priceText}). */
export function roundPrice(price: number, precision: Precision): number {
  if (precision === 'full') return price;
  if (precision !== undefined) return Number(price.toFixed(precision));
  return price >= 10_000 ? Number(price.toFixed(2)) : Number(price.toPrecision(6));
}

/** Fields of a quote, read from its JSON. */
interface QuoteStats {
  readonly symbol: string | null;
  readonly name: string | null;
  readonly price: number;
  readonly market_cap: number | null;
  readonly rank: number | null;
  readonly change_24h: number | null;
  readonly change_percent_24h: number | null;
  readonly volume_24h: number | null;
  readonly as_of: string | null;
}

const parsed = new WeakMap<CachedQuote, QuoteStats>();

/** The fields of a quote, parsed once however often they are needed. */
export function statsOf(quote: CachedQuote): QuoteStats {
  let figures = parsed.get(quote);
  if (figures === undefined) {
    figures = JSON.parse(`${quote.head}}`) as QuoteStats;
    parsed.set(quote, figures);
  }
  return figures;
}

/** When the source saw it, or if it does not say, when we received it; unix seconds. */
export function updatedAt(quote: CachedQuote): number {
  const seen = Date.parse(statsOf(quote).as_of ?? '');
  return Math.floor((Number.isNaN(seen) ? quote.receivedAt : seen) / 1000);
}

/** A row as it is answered; typed where it is worked with. */
export interface MarketRowJson {
  readonly id: string;
  readonly current_price: number | null;
  readonly market_cap: number | null;
  readonly total_volume: number | null;
  readonly price_change_percentage_24h?: number | null;
  readonly last_updated: string | null;
  readonly [field: string]: unknown;
}

/** Orders that CoinGecko knows. */
export const orders = [
  'market_cap_desc',
  'market_cap_asc',
  'volume_desc',
  'volume_asc',
  'id_asc',
  'id_desc',
] as const;
/** The row of an asset, of its stored row, its quote, or both; undefined when there is neither. */
export function mergedRow(
  row: MarketRow | undefined,
  quote: CachedQuote | undefined,
): MarketRowJson | undefined {
  const stored = row === undefined ? undefined : (JSON.parse(row.json) as MarketRowJson);
  if (quote === undefined) return stored;
  if (stored === undefined) return rowOfQuote(quote);
  if (row !== undefined && quote.receivedAt <= row.receivedAt) return stored;
  const { price, market_cap: cap, volume_24h: volume, as_of: asOf } = statsOf(quote);
  return {
    ...stored,
    current_price: price,
    market_cap: cap ?? stored.market_cap,
    total_volume: volume ?? stored.total_volume,
    last_updated: asOf ?? new Date(quote.receivedAt).toISOString(),
  };
}

/** What a quote alone tells, when another source than CoinGecko has given it. */
export function rowOfQuote(quote: CachedQuote) {
  const figures = statsOf(quote);
  return {
    ...unpricedRow({ id: quote.assetId, symbol: figures.symbol ?? '', name: figures.name ?? '' }),
    current_price: figures.price,
    market_cap: figures.market_cap,
    market_cap_rank: figures.rank,
    total_volume: figures.volume_24h,
    price_change_24h: figures.change_24h,
    price_change_percentage_24h: figures.change_percent_24h,
    last_updated: figures.as_of ?? new Date(quote.receivedAt).toISOString(),
  };
}

/** The row of an asset that the source lists without a price, and of which no row is stored: null wherever a figure stands. */
export function unpricedRow({
  id,
  symbol,
  name,
}: {
  readonly id: string;
  readonly symbol: string;
  readonly name: string;
}) {
  return {
    id,
    symbol,
    name,
    image: '',
    current_price: null,
    market_cap: null,
    market_cap_rank: null,
    fully_diluted_valuation: null,
    total_volume: null,
    high_24h: null,
    low_24h: null,
    price_change_24h: null,
    price_change_percentage_24h: null,
    market_cap_change_24h: null,
    market_cap_change_percentage_24h: null,
    circulating_supply: null,
    total_supply: null,
    max_supply: null,
    ath: null,
    ath_change_percentage: null,
    ath_date: null,
    atl: null,
    atl_change_percentage: null,
    atl_date: null,
    roi: null,
    last_updated: null,
  };
}

const priceFields = ['current_price', 'high_24h', 'low_24h', 'ath', 'atl'] as const;
const anyWindow = /^price_change_percentage_\w+_in_currency$/;

/**
 * A row as it is asked for: prices rounded (without a precision as CoinGecko does by default), and the changes of just those
 * windows (such as `7d`) that are wanted; rows of the cache hold all that the source told.
 */
export function shownRow(
  row: MarketRowJson,
  { precision, windows }: { readonly precision: Precision; readonly windows: readonly string[] },
): MarketRowJson {
  const shown: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(row)) if (!anyWindow.test(field)) shown[field] = value;
  for (const field of priceFields) {
    const value = row[field];
    if (typeof value === 'number') shown[field] = roundPrice(value, precision);
  }
  for (const window of windows) {
    const field = `price_change_percentage_${window}_in_currency`;
    // Both are the source's change over 24 hours in this currency.
    const reported = row[field] ?? (window === '24h' ? row.price_change_percentage_24h : undefined);
    shown[field] = reported ?? null;
  }
  return shown as MarketRowJson;
}

/** Rows in an order of CoinGecko; those without the figure come last. */
export function ordered(rows: readonly MarketRowJson[], order: (typeof orders)[number]): MarketRowJson[] {
  const sign = order.endsWith('_asc') ? 1 : -1;
  if (order.startsWith('id')) return rows.toSorted((left, right) => (left.id < right.id ? -sign : sign));
  const field = order.startsWith('volume') ? 'total_volume' : 'market_cap';
  return rows.toSorted((left, right) => {
    const [a, b] = [left[field], right[field]];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return (a - b) * sign;
  });
}
