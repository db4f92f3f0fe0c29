import { candles, dayStats, marketChart, marketChartRange } from './charts.ts';
import { coinResponse } from './coin.ts';
import { coinMarketCapResponse } from './coinmarketcap.ts';
import { defiLlamaResponse } from './defillama.ts';
import { coinNotFound, incorrectPath, missingParameter, type MarketResponse } from './error-responses.ts';
import { marketsResponse } from './markets.ts';
import { changePercent, parsePrecision, roundPrice, selectIds } from './query-values.ts';
import { numberOf, type MarketSource, unpricedObservation, type Observation } from './source.ts';
import { supportedCurrencies } from './currencies.ts';

/** One call of the price API. */
export interface MarketCall {
  readonly source: MarketSource;
  /** Path below `/api/v3` without a trailing slash; the whole path for calls of another provider's shape. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Days back for which history may be asked; undefined for no limit. */
  readonly historyDays: number | undefined;
  /** Content of `/key`. */
  readonly account: Parameters<typeof keyResponse>[0];
}

/** Answers a call by its path and its query. */
export function respondToCall(call: MarketCall): MarketResponse {
  const { source, path, query } = call;
  if (path.startsWith('/cmc/')) return coinMarketCapResponse(source, path.slice('/cmc'.length), query);
  if (path.startsWith('/llama/')) return defiLlamaResponse(source, path.slice('/llama'.length), query);
  switch (path) {
    case '/ping':
      return { status: 200, body: { gecko_says: '(V3) To the Moon!' } };
    case '/simple/price':
      return simplePrice(source, query);
    case '/simple/supported_vs_currencies':
      return { status: 200, body: supportedCurrencies };
    case '/coins/list':
      return coinsList(source, query);
    case '/coins/markets':
      return marketsResponse(source, query);
    case '/search':
      return searchResponse(source, query);
    case '/search/trending':
      return trendingResponse(source);
    case '/global':
      return globalResponse(source);
    case '/key':
      return keyResponse(call.account);
    default:
      return coinCall(call);
  }
}

/** The calls about one coin: its document, its charts. */
function coinCall({ source, path, query, historyDays }: MarketCall): MarketResponse {
  const [, encoded, what] = /^\/coins\/([^/]+)(?:\/(.+))?$/.exec(path) ?? [];
  if (encoded === undefined) return incorrectPath;
  const id = decoded(encoded);
  if (id === '' || source.listing(id) === undefined) return coinNotFound;
  const call = { source, id, query, limitDays: historyDays };
  switch (what) {
    case undefined:
      return coinResponse(source, id, query);
    case 'market_chart':
      return marketChart(call);
    case 'market_chart/range':
      return marketChartRange(call);
    case 'ohlc':
      return candles(call);
    case 'history':
      return dayStats(call);
    default:
      return incorrectPath;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

function coinsList(source: MarketSource, query: URLSearchParams): MarketResponse {
  if (query.get('status') === 'inactive') return { status: 200, body: [] };
  if (query.get('include_platform') !== 'true') return { status: 200, body: source.listings() };
  return { status: 200, body: source.listings().map((listing) => ({ ...listing, platforms: {} })) };
}

function simplePrice(source: MarketSource, query: URLSearchParams): MarketResponse {
  const currencies = query.get('vs_currencies');
  if (currencies === null || currencies === '') return missingParameter('vs_currencies');
  // Unlike /coins/markets, the real route does not trim: of `bitcoin, ethereum` it answers bitcoin alone.
  const ids = selectIds(source, query, { trim: false });
  if (ids === undefined) return missingParameter('ids');
  const fields = {
    currencies: currencies.toLowerCase().split(','),
    marketCap: query.get('include_market_cap') === 'true',
    volume: query.get('include_24hr_vol') === 'true',
    change: query.get('include_24hr_change') === 'true',
    updatedAt: query.get('include_last_updated_at') === 'true',
    precision: parsePrecision(query.get('precision')) ?? (source.exact ? 'full' : undefined),
  };
  const priceRow = (id: string): Record<string, number | null> => {
    const row: Record<string, number | null> = {};
    let updatedAt: number | null = null;
    for (const currency of fields.currencies) {
      const seen = source.observe(id, currency);
      if (seen === undefined || seen.price === null) continue;
      row[currency] = roundPrice(seen.price, fields.precision);
      if (fields.marketCap) row[`${currency}_market_cap`] = seen.marketCap;
      if (fields.volume) row[`${currency}_24h_vol`] = seen.volume;
      if (fields.change) row[`${currency}_24h_change`] = changePercent(seen.price, seen.priceDayAgo);
      updatedAt = seen.asOf;
    }
    if (fields.updatedAt && updatedAt !== null) row['last_updated_at'] = Math.floor(updatedAt / 1_000);
    return row;
  };
  const body: Record<string, unknown> = {};
  for (const id of ids) {
    if (source.listing(id) !== undefined) body[id] = priceRow(id);
  }
  return { status: 200, body };
}

/** The documents of the API: one coin, search, trending, global figures and the state of the caller's key. */

const image = (id: string, size: string): string => `https://market.invalid/coins/images/${id}-${size}.png`;

/** `GET /search`: assets whose id, symbol or name holds the query, by market cap. */
function searchResponse(source: MarketSource, query: URLSearchParams): MarketResponse {
  const wanted = query.get('query')?.trim().toLowerCase() ?? '';
  if (wanted === '') return missingParameter('query');
  const priced = new Set(source.ranked());
  const ids = [...priced, ...source.listings().flatMap(({ id }) => (priced.has(id) ? [] : [id]))];
  const coins = ids.flatMap((id) => {
    const listing = source.listing(id);
    if (listing === undefined || id === '') return [];
    const { symbol, name } = listing;
    if (![id, symbol, name].some((text) => text.toLowerCase().includes(wanted))) return [];
    return {
      id,
      name,
      api_symbol: id,
      symbol: symbol.toUpperCase(),
      market_cap_rank: source.rank(id),
      thumb: image(id, 'thumb'),
      large: image(id, 'large'),
    };
  });
  const body = { coins: coins.slice(0, 100), exchanges: [], icos: [], categories: [], nfts: [] };
  return { status: 200, body };
}

/** `GET /search/trending`: the fifteen assets that rose most in a day among the hundred largest. */
function trendingResponse(source: MarketSource): MarketResponse {
  const rise = (id: string): number => {
    const seen = source.observe(id, 'usd');
    return changePercent(seen?.price ?? null, seen?.priceDayAgo ?? null) ?? 0;
  };
  const ids = source
    .ranked()
    .slice(0, 100)
    .filter((id) => source.rank(id) !== null)
    .map((id) => ({ id, rise: rise(id) }))
    .sort((left, right) => right.rise - left.rise)
    .slice(0, 15);
  const coins = ids.map(({ id }, score) => ({ item: trendingItem(source, id, score) }));
  return { status: 200, body: { coins, nfts: [], categories: [] } };
}

function trendingItem(source: MarketSource, id: string, score: number): object {
  const listing = source.listing(id);
  return {
    id,
    coin_id: numberOf(id),
    name: listing?.name ?? '',
    symbol: listing?.symbol.toUpperCase() ?? '',
    market_cap_rank: source.rank(id) ?? 0,
    thumb: image(id, 'thumb'),
    small: image(id, 'small'),
    large: image(id, 'large'),
    slug: id,
    price_btc: source.observe(id, 'btc')?.price ?? 0,
    score,
    data: trendingStats(source, id),
  };
}

function trendingStats(source: MarketSource, id: string): object {
  const usd = source.observe(id, 'usd') ?? unpricedObservation;
  const btc = source.observe(id, 'btc') ?? unpricedObservation;
  const dollars = (amount: number | null): string => `$${Math.round(amount ?? 0).toLocaleString('en-US')}`;
  return {
    price: usd.price ?? 0,
    price_btc: String(btc.price ?? 0),
    price_change_percentage_24h: everyCurrency(source, id, (seen) =>
      changePercent(seen.price, seen.priceDayAgo),
    ),
    market_cap: dollars(usd.marketCap),
    market_cap_btc: String(btc.marketCap ?? 0),
    total_volume: dollars(usd.volume),
    total_volume_btc: String(btc.volume ?? 0),
    sparkline: `https://market.invalid/coins/${numberOf(id)}/sparkline.svg`,
    content: null,
  };
}

type Pick = (seen: Observation) => number | null;

function everyCurrency(source: MarketSource, id: string, pick: Pick): Record<string, number> {
  const found: Record<string, number> = {};
  for (const currency of supportedCurrencies) {
    const value = pick(source.observe(id, currency) ?? unpricedObservation);
    if (value !== null) found[currency] = value;
  }
  return found;
}

/** `GET /global`. */
function globalResponse(source: MarketSource): MarketResponse {
  const ids = source.ranked();
  const sum = (currency: string, pick: Pick): number =>
    ids.reduce((total, id) => total + (pick(source.observe(id, currency) ?? unpricedObservation) ?? 0), 0);
  const inAll = (pick: Pick): Record<string, number> => {
    const total = sum('usd', pick);
    const dollar = source.observe('bitcoin', 'usd')?.price ?? 1;
    const rate = (currency: string): number => (source.observe('bitcoin', currency)?.price ?? 0) / dollar;
    return Object.fromEntries(supportedCurrencies.map((currency) => [currency, total * rate(currency)]));
  };
  const cap = sum('usd', (seen) => seen.marketCap);
  const capBefore = sum('usd', (seen) => seen.marketCapDayAgo);
  const largest = ids
    .slice(0, 10)
    .map((id) => [
      source.listing(id)?.symbol ?? id,
      cap === 0 ? 0 : ((source.observe(id, 'usd')?.marketCap ?? 0) / cap) * 100,
    ]);
  const data = {
    active_cryptocurrencies: source.listings().length,
    upcoming_icos: 0,
    ongoing_icos: 0,
    ended_icos: 0,
    markets: 1,
    total_market_cap: inAll((seen) => seen.marketCap),
    total_volume: inAll((seen) => seen.volume),
    market_cap_percentage: Object.fromEntries(largest) as Record<string, number>,
    market_cap_change_percentage_24h_usd: changePercent(cap, capBefore) ?? 0,
    volume_change_percentage_24h_usd: 0,
    updated_at: Math.floor(source.now() / 1_000),
  };
  return { status: 200, body: { data } };
}

/** `GET /key`. */
function keyResponse({
  plan,
  callsPerMinute,
  monthlyCredits,
  callsOfMonth,
}: {
  readonly plan: 'Demo' | 'Pro';
  readonly callsPerMinute: number;
  readonly monthlyCredits: number;
  readonly callsOfMonth: number;
}): MarketResponse {
  const remaining = Math.max(0, monthlyCredits - callsOfMonth);
  return {
    status: 200,
    body: {
      plan,
      rate_limit_request_per_minute: callsPerMinute,
      monthly_call_credit: monthlyCredits,
      current_total_monthly_calls: callsOfMonth,
      current_remaining_monthly_calls: remaining,
      api_key_rate_limit_request_per_minute: callsPerMinute,
      api_key_monthly_call_credit: monthlyCredits,
      current_api_key_total_monthly_calls: callsOfMonth,
      current_api_key_remaining_monthly_calls: remaining,
    },
  };
}
