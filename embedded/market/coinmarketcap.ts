/**
 * CoinMarketCap's calls over the market's prices: the quotes and the ranking in the shapes of v2 (rows keyed by id, or by
 * symbol as lists; quotes keyed by currency) and of v3 (lists of rows and of quotes).
 */
import { slugOf } from '../../src/features/upstream/coinmarketcap/slugs.ts';
import { supportedCurrencies } from './currencies.ts';
import { numberOf, unpricedObservation, type MarketSource } from './source.ts';
import type { MarketResponse } from './error-responses.ts';
import { changePercent } from './query-values.ts';

const currencies = new Set(supportedCurrencies);

/** The envelope that every answer comes in. */
export function envelope(data: unknown, error?: { code: number; message: string }): unknown {
  const status = {
    timestamp: new Date().toISOString(),
    error_code: error?.code ?? 0,
    error_message: error?.message ?? null,
    elapsed: 1,
    credit_count: 1,
    notice: null,
  };
  return error === undefined ? { status, data } : { status };
}

/** Answers a call by its path below the root; `/public-api` in front means without a key. */
export function coinMarketCapResponse(
  source: MarketSource,
  path: string,
  query: URLSearchParams,
): MarketResponse {
  const below = path.replace(/^\/public-api(?=\/)/, '');
  const [, version, what] = /^\/(v[123])\/cryptocurrency\/(.+)$/.exec(below) ?? [];
  if (what === 'map') return { status: 200, body: envelope(mapRows(source, query)) };
  const codes = (query.get('convert') ?? 'USD').split(',');
  const unknown = codes.find((code) => !currencies.has(code.toLowerCase()));
  if (unknown !== undefined) return refused(400, `Invalid value for "convert": "${unknown}"`);
  const shape = { codes, lists: version === 'v3' };
  if (what === 'quotes/latest' && version !== 'v1') return quotes(source, query, shape);
  if (what === 'listings/latest') return listings(source, query, shape);
  return { status: 404, body: { statusCode: 404, error: 'Not Found', message: 'Not Found' } };
}

interface Shape {
  readonly codes: readonly string[];
  /** V3 has lists where v2 has objects with keys. */
  readonly lists: boolean;
}

function refused(status: number, message: string): MarketResponse {
  return { status, body: envelope(undefined, { code: status, message }) };
}

function quotes(source: MarketSource, query: URLSearchParams, shape: Shape): MarketResponse {
  const by = (['id', 'slug', 'symbol'] as const).find((name) => (query.get(name) ?? '') !== '');
  if (by === undefined) return refused(400, '"value" must contain at least one of [id, symbol, slug]');
  const wanted = new Set((query.get(by) ?? '').split(','));
  const found = source.listings().filter(({ id, symbol }) => {
    if (id === '') return false;
    if (by === 'slug') return wanted.has(slugOf(id));
    return wanted.has(by === 'id' ? String(numberOf(id)) : symbol.toUpperCase());
  });
  if (found.length === 0 && query.get('skip_invalid') === 'false') {
    return refused(400, `Invalid value for "${by}": "${[...wanted].join(',')}"`);
  }
  const rows = found.map(({ id }) => rowOf(source, id, shape));
  if (shape.lists) return { status: 200, body: envelope(rows) };
  const keyed: Record<string, unknown> = {};
  for (const row of rows) {
    if (by === 'symbol') keyed[row.symbol] = [...((keyed[row.symbol] as object[] | undefined) ?? []), row];
    else keyed[String(row.id)] = row;
  }
  return { status: 200, body: envelope(keyed) };
}

function listings(source: MarketSource, query: URLSearchParams, shape: Shape): MarketResponse {
  const [start, limit] = [Number(query.get('start') ?? '1'), Number(query.get('limit') ?? '100')];
  const ids = source.ranked().slice(start - 1, start - 1 + limit);
  return { status: 200, body: envelope(ids.map((id) => rowOf(source, id, shape))) };
}

function mapRows(source: MarketSource, query: URLSearchParams): object[] {
  const limit = Number(query.get('limit') ?? '5000');
  return source
    .listings()
    .filter(({ id }) => id !== '')
    .slice(0, limit)
    .map((listing) => ({ ...identityOf(listing), is_active: 1, status: 1 }));
}

function identityOf({ id, symbol, name }: { id: string; symbol: string; name: string }) {
  return { id: numberOf(id), name, symbol: symbol.toUpperCase(), slug: slugOf(id) };
}

function rowOf(source: MarketSource, id: string, { codes, lists }: Shape) {
  const listing = source.listing(id) ?? { id, symbol: '', name: '' };
  const quotesByCode = codes.map((code) => [code, quoteOf(source, id, code)] as const);
  const seen = source.observe(id, 'usd') ?? unpricedObservation;
  return {
    ...identityOf(listing),
    is_active: 1,
    cmc_rank: source.rank(id),
    circulating_supply: seen.circulatingSupply,
    total_supply: seen.maxSupply,
    max_supply: seen.maxSupply,
    last_updated: instantOf(seen.asOf),
    quote: lists
      ? quotesByCode.map(([code, quote]) => ({ symbol: code, ...quote }))
      : Object.fromEntries(quotesByCode),
  };
}

function quoteOf(source: MarketSource, id: string, code: string) {
  const currency = code.toLowerCase();
  const seen = source.observe(id, currency) ?? unpricedObservation;
  return {
    price: seen.price,
    volume_24h: seen.volume,
    percent_change_24h: changePercent(seen.price, seen.priceDayAgo),
    market_cap: seen.marketCap,
    last_updated: instantOf(seen.asOf),
  };
}

function instantOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
