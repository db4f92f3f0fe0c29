/**
 * The history calls of the API: charts, candles and the figures of a day, made from the observations of the source. The
 * distance of their points follows CoinGecko's rules, and a chart up to now ends with the current price.
 */
import { supportedCurrencies } from './currencies.ts';
import { missingParameter, timeRange, type MarketResponse } from './error-responses.ts';
import { parsePrecision, roundPrice, type Precision } from './query-values.ts';
import type { MarketSource, Sample } from './source.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const currencies = new Set(supportedCurrencies);
/** Days of `days=max` where nothing limits them. */
const allDays = 4_000;

/** What a history call is about. */
interface ChartCall {
  readonly source: MarketSource;
  readonly id: string;
  readonly query: URLSearchParams;
  /** How far back (days) history is available; undefined for no limit. */
  readonly limitDays: number | undefined;
}

/** `GET /coins/{id}/market_chart`. */
export function marketChart(call: ChartCall): MarketResponse {
  const refusal = currencyRefusal(call.query);
  if (refusal !== undefined) return refusal;
  const days = call.query.get('days') ?? '';
  if (days === '') return missingParameter('days');
  const count = days === 'max' ? (call.limitDays ?? allDays) : Number(days);
  if (!(count > 0)) return { status: 422, body: { error: 'Invalid days' } };
  const now = call.source.now();
  if (isTooFarBack(call, now - count * dayMs)) return timeRange;
  return chartResponse(call, {
    ...readings(call),
    from: now - count * dayMs,
    to: now,
    stepMs: stepOf(count, call.query),
  });
}

/** `GET /coins/{id}/market_chart/range`; `from` and `to` are Unix seconds or ISO dates. */
export function marketChartRange(call: ChartCall): MarketResponse {
  const refusal = currencyRefusal(call.query);
  if (refusal !== undefined) return refusal;
  for (const name of ['from', 'to']) {
    if ((call.query.get(name) ?? '') === '') return missingParameter(name);
  }
  const [from, to] = [momentOf(call.query.get('from')), momentOf(call.query.get('to'))];
  if (Number.isNaN(from) || Number.isNaN(to)) return { status: 422, body: { error: 'Invalid date' } };
  const now = call.source.now();
  if (isTooFarBack(call, from)) return timeRange;
  const days = (to - from) / dayMs;
  // Five minutes are kept for the last day only.
  const stepMs = days <= 1 && from < now - dayMs - hourMs ? hourMs : stepOf(days, call.query);
  return chartResponse(call, { ...readings(call), from, to, stepMs });
}

function momentOf(text: string | null): number {
  const value = text ?? '';
  return /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1_000 : Date.parse(value);
}

function currencyRefusal(query: URLSearchParams): MarketResponse | undefined {
  const currency = query.get('vs_currency')?.toLowerCase() ?? '';
  if (currency === '') return missingParameter('vs_currency');
  return currencies.has(currency) ? undefined : { status: 422, body: { error: 'invalid vs_currency' } };
}

function readings({ source, query }: ChartCall): { currency: string; precision: Precision } {
  return {
    currency: query.get('vs_currency')?.toLowerCase() ?? '',
    precision: parsePrecision(query.get('precision')) ?? 'full',
    ...(source.exact ? { precision: 'full' as const } : {}),
  };
}

/** A little slack, since the caller's now and the market's differ. */
function isTooFarBack({ limitDays, source }: ChartCall, from: number): boolean {
  return limitDays !== undefined && from < source.now() - (limitDays + 1) * dayMs;
}

function stepOf(days: number, query: URLSearchParams): number {
  const interval = query.get('interval');
  if (interval === 'daily') return dayMs;
  if (interval === 'hourly') return hourMs;
  if (days <= 1) return 5 * minuteMs;
  return days <= 90 ? hourMs : dayMs;
}

function chartResponse(
  { source, id }: ChartCall,
  chart: {
    readonly currency: string;
    readonly precision: Precision;
    readonly from: number;
    readonly to: number;
    readonly stepMs: number;
  },
): MarketResponse {
  const samples = [...source.history(id, chart.currency, chart)];
  const now = source.now();
  const seen = chart.to >= now ? source.observe(id, chart.currency) : undefined;
  if (seen?.price != null && seen.asOf !== null && seen.asOf > (samples.at(-1)?.at ?? 0)) {
    samples.push({ at: seen.asOf, price: seen.price, marketCap: seen.marketCap, volume: seen.volume });
  }
  return {
    status: 200,
    body: {
      prices: samples.map(({ at, price }) => [at, roundPrice(price, chart.precision)]),
      market_caps: samples.map(({ at, marketCap }) => [at, marketCap ?? 0]),
      total_volumes: samples.map(({ at, volume }) => [at, volume ?? 0]),
    },
  };
}

const candleDays = [1, 7, 14, 30, 90, 180, 365];
/** Samples of one candle, where the source can choose. */
const samplesOfCandle = 8;

/** `GET /coins/{id}/ohlc`: candles stamped with their close. */
export function candles(call: ChartCall): MarketResponse {
  const { source, id, query } = call;
  if (query.get('vs_currency') === null && query.get('days') === null) {
    return { status: 500, body: { status: 500, error: 'Internal Server Error' } };
  }
  const refusal = currencyRefusal(query);
  if (refusal !== undefined) return refusal;
  const days = query.get('days') === 'max' ? (call.limitDays ?? allDays) : Number(query.get('days'));
  if (query.get('days') !== 'max' && !candleDays.includes(days)) {
    return { status: 422, body: { error: 'Invalid days' } };
  }
  const { currency, precision } = readings(call);
  const widthMs = days <= 2 ? 30 * minuteMs : days <= 30 ? 4 * hourMs : 4 * dayMs;
  const now = source.now();
  // A candle is stamped with its end, so a point exactly at its start belongs to the previous candle.
  const range = { from: now - days * dayMs + 1, to: now, stepMs: widthMs / samplesOfCandle };
  const groups = new Map<number, number[]>();
  for (const { at, price } of source.history(id, currency, range)) {
    const close = Math.ceil(at / widthMs) * widthMs;
    const prices = groups.get(close) ?? [];
    if (prices.length === 0) groups.set(close, prices);
    prices.push(roundPrice(price, precision));
  }
  const rows = [...groups].map(([close, prices]) => [
    close,
    prices[0],
    Math.max(...prices),
    Math.min(...prices),
    prices.at(-1),
  ]);
  return { status: 200, body: rows };
}

/** `GET /coins/{id}/history`: the figures at the start of a day (UTC), in every currency. */
export function dayStats(call: ChartCall): MarketResponse {
  const { source, id, query } = call;
  const date = query.get('date') ?? '';
  if (date === '') return missingParameter('date');
  const [, day, month, year] = /^(\d{1,2})-(\d{1,2})-(\d{4})$/.exec(date) ?? [];
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day));
  if (Number.isNaN(at)) return { status: 400, body: { error: 'invalid date' } };
  if (isTooFarBack(call, at)) return timeRange;
  const listing = source.listing(id);
  const image = (size: string): string => `https://market.invalid/coins/images/${id}-${size}.png`;
  const figures = marketStatsAt(source, id, at);
  return {
    status: 200,
    body: {
      id,
      symbol: listing?.symbol ?? '',
      name: listing?.name ?? '',
      ...(query.get('localization') === 'false' ? {} : { localization: { en: listing?.name ?? '' } }),
      image: { thumb: image('thumb'), small: image('small') },
      ...(figures === undefined ? {} : { market_data: figures }),
      ...emptyStatistics,
    },
  };
}

/** Statistics that this market has none of, in the shape of the API. */
const emptyStatistics = {
  community_data: {
    facebook_likes: null,
    reddit_average_posts_48h: 0,
    reddit_average_comments_48h: 0,
    reddit_subscribers: null,
    reddit_accounts_active_48h: 0,
  },
  developer_data: {
    forks: null,
    stars: null,
    subscribers: null,
    total_issues: null,
    closed_issues: null,
    pull_requests_merged: null,
    pull_request_contributors: null,
    code_additions_deletions_4_weeks: { additions: null, deletions: null },
    commit_count_4_weeks: null,
  },
  public_interest_stats: { alexa_rank: null, bing_matches: null },
};

function marketStatsAt(source: MarketSource, id: string, at: number): object | undefined {
  const found: (readonly [string, Sample])[] = [];
  for (const currency of supportedCurrencies) {
    // Rows of a replay lie at any minute of a day.
    const sample = source.history(id, currency, { from: at, to: at + dayMs - 1, stepMs: dayMs })[0];
    if (sample !== undefined) found.push([currency, sample]);
  }
  if (found.length === 0) return undefined;
  const each = (pick: (sample: Sample) => number): Record<string, number> =>
    Object.fromEntries(found.map(([currency, sample]) => [currency, pick(sample)]));
  return {
    current_price: each(({ price }) => price),
    market_cap: each(({ marketCap }) => marketCap ?? 0),
    total_volume: each(({ volume }) => volume ?? 0),
  };
}
