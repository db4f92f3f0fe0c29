/** The documents of the API: one coin, search, trending, global figures and the state of the caller's key. */
import { supportedCurrencies } from './currencies.ts';
import { missingParameter, type Answer } from './error-answers.ts';
import { changePercent } from './query-values.ts';
import { unpricedObservation, type MarketSource, type Observation } from './source.ts';

const image = (id: string, size: string): string => `https://market.invalid/coins/images/${id}-${size}.png`;

/** `GET /search`: assets whose id, symbol or name holds the query, by market cap. */
export function searchAnswer(source: MarketSource, query: URLSearchParams): Answer {
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
export function trendingAnswer(source: MarketSource): Answer {
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
    data: trendingFigures(source, id),
  };
}

function trendingFigures(source: MarketSource, id: string): object {
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

/** A number that stays with an id, where a real source has one from its database. */
export function numberOf(id: string): number {
  let hash = 7;
  for (const letter of id) hash = (Math.imul(hash, 31) + (letter.codePointAt(0) ?? 0)) >>> 0;
  return (hash % 9_000_000) + 1;
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
export function globalAnswer(source: MarketSource): Answer {
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
export function keyAnswer({
  plan,
  callsPerMinute,
  monthlyCredits,
  callsOfMonth,
}: {
  readonly plan: 'Demo' | 'Pro';
  readonly callsPerMinute: number;
  readonly monthlyCredits: number;
  readonly callsOfMonth: number;
}): Answer {
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
