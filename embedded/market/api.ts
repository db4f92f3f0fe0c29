import { candles, dayFigures, marketChart, marketChartRange } from './charts.ts';
import { coinAnswer } from './coin.ts';
import { coinMarketCapAnswer } from './coinmarketcap.ts';
import { supportedCurrencies } from './currencies.ts';
import { defiLlamaAnswer } from './defillama.ts';
import { globalAnswer, keyAnswer, searchAnswer, trendingAnswer } from './catalog-answers.ts';
import { coinNotFound, incorrectPath, missingParameter, type Answer } from './error-answers.ts';
import { marketsAnswer } from './markets.ts';
import { changePercent, parsePrecision, roundPrice, selectIds } from './query-values.ts';
import type { MarketSource } from './source.ts';

/** One call of the price API. */
export interface MarketCall {
  readonly source: MarketSource;
  /** Path below `/api/v3` without a trailing slash; the whole path for calls of another provider's shape. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Days back for which history may be asked; undefined for no limit. */
  readonly historyDays: number | undefined;
  /** What `/key` tells. */
  readonly account: Parameters<typeof keyAnswer>[0];
}

/** Answers a call by its path and its query. */
export function answerCall(call: MarketCall): Answer {
  const { source, path, query } = call;
  if (path.startsWith('/cmc/')) return coinMarketCapAnswer(source, path.slice('/cmc'.length), query);
  if (path.startsWith('/llama/')) return defiLlamaAnswer(source, path.slice('/llama'.length), query);
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
      return marketsAnswer(source, query);
    case '/search':
      return searchAnswer(source, query);
    case '/search/trending':
      return trendingAnswer(source);
    case '/global':
      return globalAnswer(source);
    case '/key':
      return keyAnswer(call.account);
    default:
      return coinCall(call);
  }
}

/** The calls about one coin: its document, its charts. */
function coinCall({ source, path, query, historyDays }: MarketCall): Answer {
  const [, encoded, what] = /^\/coins\/([^/]+)(?:\/(.+))?$/.exec(path) ?? [];
  if (encoded === undefined) return incorrectPath;
  const id = decoded(encoded);
  if (id === '' || source.listing(id) === undefined) return coinNotFound;
  const call = { source, id, query, limitDays: historyDays };
  switch (what) {
    case undefined:
      return coinAnswer(source, id, query);
    case 'market_chart':
      return marketChart(call);
    case 'market_chart/range':
      return marketChartRange(call);
    case 'ohlc':
      return candles(call);
    case 'history':
      return dayFigures(call);
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

function coinsList(source: MarketSource, query: URLSearchParams): Answer {
  if (query.get('status') === 'inactive') return { status: 200, body: [] };
  if (query.get('include_platform') !== 'true') return { status: 200, body: source.listings() };
  return { status: 200, body: source.listings().map((listing) => ({ ...listing, platforms: {} })) };
}

function simplePrice(source: MarketSource, query: URLSearchParams): Answer {
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
