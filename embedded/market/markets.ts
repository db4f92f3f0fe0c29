import { supportedCurrencies } from './currencies.ts';
import { missingParameter, type MarketResponse } from './error-responses.ts';
import {
  changePercent,
  listOf,
  parsePrecision,
  roundPrice,
  selectIds,
  type Precision,
} from './query-values.ts';
import { unpricedObservation, type MarketSource, type Observation } from './source.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const changeSpansMs: Readonly<Record<string, number>> = {
  '1h': hourMs,
  '24h': dayMs,
  '7d': 7 * dayMs,
  '14d': 14 * dayMs,
  '30d': 30 * dayMs,
  '200d': 200 * dayMs,
  '1y': 365 * dayMs,
};
const currencies = new Set(supportedCurrencies);

interface MarketsQuery {
  readonly currency: string;
  readonly precision: Precision;
  readonly sparkline: boolean;
  readonly spans: readonly string[];
}

/** `GET /coins/markets`: one page of assets with their market figures. */
export function marketsResponse(source: MarketSource, query: URLSearchParams): MarketResponse {
  const currency = query.get('vs_currency')?.toLowerCase() ?? '';
  if (currency === '') return missingParameter('vs_currency');
  if (!currencies.has(currency)) return { status: 422, body: { error: 'invalid vs_currency' } };
  const perPage = wholeNumber(query.get('per_page'), { fallback: 100, max: 250 });
  const page = wholeNumber(query.get('page'), { fallback: 1, max: 1_000_000 });
  const requested: MarketsQuery = {
    currency,
    precision: parsePrecision(query.get('precision')) ?? (source.exact ? 'full' : undefined),
    sparkline: query.get('sparkline') === 'true',
    spans: listOf(query.get('price_change_percentage'), true) ?? [],
  };
  const ids = ordered(source, selected(source, query), { order: query.get('order'), currency });
  const rows = ids.slice((page - 1) * perPage, page * perPage).map((id) => marketRow(source, id, requested));
  return { status: 200, body: rows, headers: { total: String(ids.length), 'per-page': String(perPage) } };
}

function wholeNumber(text: string | null, { fallback, max }: { fallback: number; max: number }): number {
  if (text === null || !/^\d+$/.test(text)) return fallback;
  const value = Number(text);
  return value === 0 ? fallback : Math.min(value, max);
}

/** By market cap, highest first; listed assets without a price come last. */
function selected(source: MarketSource, query: URLSearchParams): readonly string[] {
  const wanted = selectIds(source, query, { trim: true });
  if (wanted === undefined) return source.ranked();
  const last = Number.MAX_SAFE_INTEGER;
  const known = wanted.filter((id) => source.listing(id) !== undefined);
  return known.sort((left, right) => (source.rank(left) ?? last) - (source.rank(right) ?? last));
}

function ordered(
  source: MarketSource,
  ids: readonly string[],
  { order, currency }: { readonly order: string | null; readonly currency: string },
): readonly string[] {
  const volume = new Map<string, number>();
  if (order?.startsWith('volume')) {
    for (const id of ids) volume.set(id, source.observe(id, currency)?.volume ?? -1);
  }
  const byVolume = (left: string, right: string): number =>
    (volume.get(left) ?? -1) - (volume.get(right) ?? -1);
  switch (order) {
    case 'market_cap_asc':
      return ids.toReversed();
    case 'id_asc':
      return ids.toSorted();
    case 'id_desc':
      return ids.toSorted().reverse();
    case 'volume_asc':
      return ids.toSorted(byVolume);
    case 'volume_desc':
      return ids.toSorted(byVolume).reverse();
    default:
      return ids;
  }
}

function marketRow(source: MarketSource, id: string, requested: MarketsQuery): Record<string, unknown> {
  const listing = source.listing(id);
  const seen = source.observe(id, requested.currency) ?? unpricedObservation;
  const range = source.dayRange(id, requested.currency);
  return {
    id,
    symbol: listing?.symbol ?? '',
    name: listing?.name ?? '',
    image: `https://market.invalid/coins/images/${id}.png`,
    ...figures(seen, requested.precision),
    high_24h: range === null ? null : roundPrice(range.high, requested.precision),
    low_24h: range === null ? null : roundPrice(range.low, requested.precision),
    market_cap_rank: seen.marketCap === null ? null : source.rank(id),
    ...(requested.sparkline ? { sparkline_in_7d: { price: sparkline(source, id, requested.currency) } } : {}),
    ...changes(source, id, requested),
  };
}

function figures(seen: Observation, precision: Precision): Record<string, unknown> {
  const rounded = (price: number | null): number | null =>
    price === null ? null : roundPrice(price, precision);
  return {
    current_price: rounded(seen.price),
    market_cap: seen.marketCap,
    fully_diluted_valuation:
      seen.price === null || seen.maxSupply === null ? null : seen.price * seen.maxSupply,
    total_volume: seen.volume,
    price_change_24h: difference(seen.price, seen.priceDayAgo),
    price_change_percentage_24h: changePercent(seen.price, seen.priceDayAgo),
    market_cap_change_24h: difference(seen.marketCap, seen.marketCapDayAgo),
    market_cap_change_percentage_24h: changePercent(seen.marketCap, seen.marketCapDayAgo),
    circulating_supply: seen.circulatingSupply,
    total_supply: seen.maxSupply,
    max_supply: seen.maxSupply,
    ath: null,
    ath_change_percentage: null,
    ath_date: null,
    atl: null,
    atl_change_percentage: null,
    atl_date: null,
    roi: null,
    last_updated: seen.asOf === null ? null : new Date(seen.asOf).toISOString(),
  };
}

function difference(after: number | null, before: number | null): number | null {
  return after === null || before === null ? null : after - before;
}

/** Hourly prices of the last seven days, oldest first. */
function sparkline(source: MarketSource, id: string, currency: string): number[] {
  const prices = Array.from({ length: 168 }, (_, hour) =>
    source.priceAgo(id, currency, (167 - hour) * hourMs),
  );
  return prices.filter((price) => price !== null);
}

function changes(source: MarketSource, id: string, requested: MarketsQuery): Record<string, number | null> {
  const found: Record<string, number | null> = {};
  for (const span of requested.spans) {
    const agoMs = Object.hasOwn(changeSpansMs, span) ? changeSpansMs[span] : undefined;
    if (agoMs === undefined) continue;
    const now = source.priceAgo(id, requested.currency, 0);
    found[`price_change_percentage_${span}_in_currency`] = changePercent(
      now,
      source.priceAgo(id, requested.currency, agoMs),
    );
  }
  return found;
}
