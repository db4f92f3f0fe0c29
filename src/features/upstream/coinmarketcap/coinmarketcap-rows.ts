/**
 * CoinMarketCap's rows made into quotes. V2 keys rows by id (or by symbol, as lists) and quotes by currency; v3 has lists of
 * both. A row is one of ours only when its identity is proven ({@link assetOf}).
 */
import type { Quote } from '../../../domain/quote.ts';
import { isRecord } from '../answers.ts';
import { amount, finite, instant, rankOf, text } from '../answer-fields.ts';
import { listedAsset } from './slugs.ts';

/** A row that names itself. */
export interface CmcRow {
  readonly slug: string;
  readonly symbol: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What is known of an asset from elsewhere. */
export interface AssetIdentity {
  readonly symbol: string;
  readonly name: string;
}

/** What all quotes of one answer share. */
export interface RowOrigin {
  readonly currency: string;
  readonly source: string;
  readonly receivedAt: number;
}

/** The rows in the data of an envelope; undefined when it is neither a list nor an object of them. */
export function rowsOf(body: unknown): readonly CmcRow[] | undefined {
  const data = isRecord(body) ? body['data'] : undefined;
  if (!Array.isArray(data) && !isRecord(data)) return undefined;
  const values = (Array.isArray(data) ? data : Object.values(data)).flat();
  const rows = values.flatMap((value) => rowOf(value) ?? []);
  return values.length > 0 && rows.length === 0 ? undefined : rows;
}

function rowOf(value: unknown): CmcRow | undefined {
  if (!isRecord(value)) return undefined;
  const [slug, symbol, name] = [text(value['slug']), text(value['symbol']), text(value['name'])];
  return slug === null || symbol === null ? undefined : { slug, symbol, name: name ?? '', fields: value };
}

/**
 * The asset id of a row: that of a listed slug; else the slug itself, when an asset of that id is known and has the same
 * symbol. Undefined when neither proves it: a price of another asset is worse than none.
 */
export function assetOf(row: CmcRow, known: AssetIdentity | undefined): string | undefined {
  const listed = listedAsset(row.slug);
  if (listed !== undefined) return listed;
  if (known === undefined || known.symbol.toLowerCase() !== row.symbol.toLowerCase()) return undefined;
  return row.slug;
}

/** The quote of a row in the currency asked for; undefined when it has no usable price in it. */
export function quoteOf(row: CmcRow, assetId: string, origin: RowOrigin): Quote | undefined {
  const told = figuresIn(row.fields['quote'], origin.currency);
  const price = amount(told?.['price']);
  if (told === undefined || price === null) return undefined;
  const marketCap = amount(told['market_cap']);
  if (price === 0 && (marketCap ?? 0) > 0) return undefined;
  return {
    assetId,
    symbol: row.symbol.toLowerCase(),
    name: row.name === '' ? null : row.name,
    currency: origin.currency,
    price,
    marketCap,
    rank: rankOf(row.fields['cmc_rank']),
    // Only the change in per cent is told, and an amount made from it would be computed.
    change24h: null,
    changePercent24h: finite(told['percent_change_24h']),
    volume24h: amount(told['volume_24h']),
    source: origin.source,
    asOf: instant(told['last_updated']) ?? instant(row.fields['last_updated']),
    receivedAt: origin.receivedAt,
  };
}

/** Never another currency's figures: those that do not name the one asked for are none. */
function figuresIn(quote: unknown, currency: string): Readonly<Record<string, unknown>> | undefined {
  const code = currency.toUpperCase();
  const found: unknown = Array.isArray(quote)
    ? quote.find((entry) => isRecord(entry) && entry['symbol'] === code)
    : isRecord(quote) && Object.hasOwn(quote, code)
      ? quote[code]
      : undefined;
  return isRecord(found) ? found : undefined;
}
