/** Prices of the past in CoinGecko's contract: charts, candles, and the figures of a day. */
import { z } from 'zod';
import { AppError, NotFoundError } from '../../domain/errors.ts';
import type { HistoryPoint } from '../../domain/history.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Route } from '../../platform/http/route.ts';
import { coinNotFound, invalidParameter, isOutOfReach, outOfReach } from '../../platform/http/v3-errors.ts';
import {
  chartIntervals,
  dayMs,
  granularityOf,
  nowSlackMs,
  ohlcLengthOf,
  type ChartInterval,
} from '../history/chart.ts';
import { freeReachDays } from '../history/history-gaps.ts';
import type { ChartReading, OhlcReading } from '../history/history-reader.ts';
import type { DayPoint } from '../history/queries/candles.ts';
import { respondV3, type V3State } from './responses.ts';
import { canonicalPath, readPassthrough, unserved } from './passthrough.ts';
import { roundPrice, type Precision } from './market-rows.ts';
import {
  checkedCurrency,
  checkedId,
  precision,
  flag,
  refuseUnlisted,
  requiredCurrency,
  requiredText,
  requiredWord,
  word,
} from './params.ts';
import type { CoinGeckoApiDeps } from './types.ts';
import { v3Route } from './v3-route.ts';

/** Charts, candles, and the figures of a day. */
export function historyRoutes(deps: CoinGeckoApiDeps): Route[] {
  return [marketChart(deps), marketChartRange(deps), ohlc(deps), coinHistory(deps)];
}

const idPath = z.object({ id: z.string().meta({ description: 'Asset id, such as bitcoin' }) });
const intervals = Object.keys(chartIntervals) as [ChartInterval, ...ChartInterval[]];
const interval = () => word(intervals, 'Interval of the points (absent: chosen by the length of the range)');
const responses = {
  401: 'The API key is not valid, or no source has data that old',
  404: 'No asset has this id',
  422: 'A parameter is missing or not valid',
};
const description =
  'Points every five minutes for the last day, hourly up to 90 days, otherwise daily; the last point is the latest price. The header X-Pricepool-State is `partial` when some points could not be fetched in time.';

const chartQuery = z.object({
  vs_currency: requiredCurrency(),
  days: requiredWord('Number of days back from now, or max'),
  interval: interval(),
  precision: precision(),
});

const rangeQuery = z.object({
  vs_currency: requiredCurrency(),
  from: requiredText('Start, in Unix seconds or as an ISO 8601 date'),
  to: requiredText('End, in Unix seconds or as an ISO 8601 date'),
  interval: interval(),
  precision: precision(),
});

function marketChart(deps: CoinGeckoApiDeps): Route {
  return v3Route({
    path: '/coins/:id/market_chart',
    summary: 'Get price, market capitalisation and volume of an asset until now',
    description,
    params: idPath,
    query: chartQuery,
    responses,
    handler: async (ctx, { params, query, viewer }) => {
      const currency = checkedCurrency(query.vs_currency);
      const to = deps.clock.now();
      const from = query.days === 'max' ? firstMoment : to - daysOf(query.days) * dayMs;
      // CoinGecko answers with days when the whole history is requested, however young the asset is.
      const given = query.interval ?? (query.days === 'max' ? 'daily' : undefined);
      const requested = {
        assetId: checkedId(params.id, deps.assets),
        currency,
        from,
        to,
        untilNow: true,
        viewer,
      };
      send(
        ctx,
        await readChart(deps, { ...requested, interval: given, precision: query.precision }),
        deps.clock,
      );
    },
  });
}

function marketChartRange(deps: CoinGeckoApiDeps): Route {
  return v3Route({
    path: '/coins/:id/market_chart/range',
    summary: 'Get price, market capitalisation and volume of an asset in a time range',
    description,
    params: idPath,
    query: rangeQuery,
    responses,
    handler: async (ctx, { params, query, viewer }) => {
      const currency = checkedCurrency(query.vs_currency);
      const [from, to] = [momentOf(query.from), momentOf(query.to)];
      const untilNow = to >= deps.clock.now() - nowSlackMs;
      const requested = { assetId: checkedId(params.id, deps.assets), currency, from, to, untilNow, viewer };
      const chart = { ...requested, interval: query.interval, precision: query.precision };
      send(ctx, await readChart(deps, chart), deps.clock);
    },
  });
}

/** More days than any asset has count as all. */
const maxDays = 36_500;

function daysOf(text: string): number {
  const days = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  if (days <= 0) throw invalidParameter('Invalid days');
  return Math.min(days, maxDays);
}

/** Latest moment that is accepted (ms): JavaScript has no later dates. */
const lastMoment = 8.64e15;
const isoDate = /^\d{4}-\d{2}-\d{2}([T ][\d:.]+(Z|[+-]\d{2}:?\d{2})?)?$/;

function momentOf(text: string): number {
  const isSeconds = /^\d{1,12}(\.\d+)?$/.test(text);
  const at = isSeconds ? Number(text) * 1_000 : isoDate.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at) || at < 0 || at > lastMoment) throw invalidParameter('Invalid date');
  return Math.round(at);
}

function send(
  ctx: ApiContext,
  { json, state, lastAt }: Awaited<ReturnType<typeof readChart>>,
  clock: Clock,
): void {
  const cache = state === 'partial' ? 'none' : 'prices';
  respondV3(ctx, { json, cache, state, ageMs: lastAt === undefined ? undefined : clock.now() - lastAt });
}

/** Longest wait (ms) for the last point of a chart: a chart without it is usable. */
const latestWaitMs = 1_000;

/** No asset is older than this (ms since the epoch). */
const firstMoment = Date.UTC(2009, 0, 3);

/**
 * Reads a chart, and waits a limited time for what is missing. `lastAt`: moment of the last point; undefined without
 * one.
 * @throws {AppError} 404 if no source knows the asset; 401 if no source goes back so far; 503 if nothing is available
 * now.
 */
async function readChart(
  deps: CoinGeckoApiDeps,
  requested: {
    readonly assetId: string;
    readonly currency: string;
    readonly from: number;
    readonly to: number;
    readonly interval: ChartInterval | undefined;
    readonly precision: Precision;
    /** Whether the chart ends with the latest price. */
    readonly untilNow: boolean;
    readonly viewer: Principal;
  },
): Promise<{ readonly json: string; readonly state: V3State; readonly lastAt: number | undefined }> {
  const { assetId, currency, from, to, viewer } = requested;
  const { history, clock, config } = deps;
  const now = clock.now();
  if (from > to || from > now)
    return { json: chartJson([], requested.precision), state: 'fresh', lastAt: undefined };
  const granularity =
    requested.interval === undefined ? granularityOf({ from, to, now }) : chartIntervals[requested.interval];
  const isListed = !deps.assets.isKnown() || deps.assets.byId(assetId) !== undefined;
  // For an asset on no list there can only be imported points: nothing is requested.
  const waitMs = isListed ? config.READ_WAIT : 0;
  const span = { from: Math.max(from, firstMoment), to: Math.min(to, now) };
  const [reading, latest] = await Promise.all([
    history.chart({ assetId, currency, granularity, ...span, waitMs, requester: viewer, asks: isListed }),
    requested.untilNow && isListed ? latestOf(deps, requested, Math.min(waitMs, latestWaitMs)) : undefined,
  ]);
  const points = withLatest(reading, latest, span);
  if (points.length === 0 && (!isListed || latest === 'not_found')) throw coinNotFound();
  if (points.length === 0) await refuseEmpty(deps, { reading, isFarPast: isFarPast(span.to, now) });
  return {
    json: chartJson(points, requested.precision),
    state: reading.state === 'partial' && isListed ? 'partial' : 'fresh',
    lastAt: points.at(-1)?.at,
  };
}

/** An empty answer is right only if the source has nothing, or no longer has it. */
async function refuseEmpty(
  { upstream }: CoinGeckoApiDeps,
  { reading, isFarPast }: { readonly reading: ChartReading; readonly isFarPast: boolean },
): Promise<void> {
  const { state, isRefused, isBeyondReach } = reading;
  if (state === 'unknown') throw coinNotFound();
  if (state !== 'partial' || isBeyondReach === true) return;
  if (isRefused && isFarPast) throw outOfReach(freeReachDays);
  throw await unserved(isRefused ? 'unavailable' : 'pending', upstream, { kind: 'alone' });
}

/** Whether a moment is before those that free plans go back to. */
function isFarPast(at: number, now: number): boolean {
  return at < now - freeReachDays * dayMs;
}

/** The latest quote as a point; undefined without one. */
async function latestOf(
  { quotes }: CoinGeckoApiDeps,
  { assetId, currency, viewer }: Parameters<typeof readChart>[1],
  waitMs: number,
): Promise<HistoryPoint | 'not_found' | undefined> {
  const requested = { currency, assetIds: [assetId], waitMs, requester: viewer };
  // A chart without its last point is usable; the cache may be unavailable.
  const readings = await quotes.getMany(requested).catch(() => undefined);
  const reading = readings?.get(assetId);
  if (reading?.quote === undefined) return reading?.state === 'not_found' ? 'not_found' : undefined;
  const quote = JSON.parse(`${reading.quote.head}}`) as {
    price: number;
    market_cap: number | null;
    volume_24h: number | null;
    as_of: string | null;
  };
  const named = quote.as_of === null ? Number.NaN : Date.parse(quote.as_of);
  const at = Number.isNaN(named) ? reading.quote.receivedAt : named;
  return { at, price: quote.price, marketCap: quote.market_cap, volume: quote.volume_24h };
}

function withLatest(
  { points }: ChartReading,
  latest: HistoryPoint | 'not_found' | undefined,
  { from, to }: { readonly from: number; readonly to: number },
): readonly HistoryPoint[] {
  if (latest === undefined || latest === 'not_found') return points;
  const last = points.at(-1)?.at ?? from;
  // Our clock and the source's may differ a little.
  return latest.at > last && latest.at <= to + dayMs ? [...points, latest] : points;
}

/** Prices are as the source sent them unless a precision was asked for; what the source did not tell is null. */
function chartJson(points: readonly HistoryPoint[], precision: Precision): string {
  const price = (value: number): number => roundPrice(value, precision ?? 'full');
  return JSON.stringify({
    prices: points.map((point) => [point.at, price(point.price)]),
    market_caps: points.map((point) => [point.at, point.marketCap]),
    total_volumes: points.map((point) => [point.at, point.volume]),
  });
}

/** CoinGecko renews its candles every quarter of an hour (ms). */
const candleUpdateMs = 900_000;
const allowedDays: ReadonlySet<string> = new Set(['1', '7', '14', '30', '90', '180', '365', 'max']);

const ohlcQuery = z.object({
  vs_currency: requiredCurrency(),
  days: requiredWord(`Days back from now: ${[...allowedDays].join(', ')}`),
  interval: word(['daily', 'hourly'], 'Length of the candles, for plans that offer it'),
  precision: precision(),
});

/**
 * Open, high, low and close. Our own candles are answered where we have watched the price for the whole span; points of a
 * chart make no candles, because a high between two points is known to nobody. Else the source's own are passed on.
 */
function ohlc(deps: CoinGeckoApiDeps): Route {
  return v3Route({
    path: '/coins/:id/ohlc',
    summary: 'Get candles of an asset: open, high, low, close',
    description:
      'Candles of 30 minutes for 1 day, of 4 hours up to 30 days, otherwise of 4 days; their times are close times.',
    params: idPath,
    query: ohlcQuery,
    responses: { 400: 'The number of days is not supported', 404: 'No asset has this id' },
    handler: async (ctx, { params, query, viewer }) => {
      const assetId = checkedId(params.id, deps.assets);
      const currency = checkedCurrency(query.vs_currency);
      if (!allowedDays.has(query.days))
        throw new AppError('Invalid days parameter', { code: 'invalid_parameter', status: 400 });
      const own = await ownCandles(deps, { assetId, currency, query });
      if (own !== undefined && own.missing === 0 && own.candles.length > 0) {
        respondV3(ctx, { json: own.json, cache: 'prices', state: 'fresh' });
        return;
      }
      const path = canonicalPath(`/coins/${encodeURIComponent(assetId)}/ohlc`, { ...query });
      try {
        refuseUnlisted(deps.assets, assetId);
        const requested = { path, freshMs: candleUpdateMs, viewer, notFound: coinNotFound };
        const { state, response } = await readPassthrough(deps, requested);
        const ageMs = deps.clock.now() - response.receivedAt;
        respondV3(ctx, { json: response.json, cache: 'prices', state, ageMs });
      } catch (error) {
        // Candles of ours that are whole are better than none, when the source does not answer.
        if (own === undefined || own.candles.length === 0) throw error;
        respondV3(ctx, { json: own.json, cache: 'none', state: 'partial' });
      }
    },
  });
}

/** Undefined for what we have no rule for. */
async function ownCandles(
  { history }: CoinGeckoApiDeps,
  {
    assetId,
    currency,
    query,
  }: { readonly assetId: string; readonly currency: string; readonly query: z.output<typeof ohlcQuery> },
): Promise<(OhlcReading & { readonly json: string }) | undefined> {
  const days = Number(query.days);
  if (Number.isNaN(days) || query.interval !== undefined) return undefined;
  const lengthMs = ohlcLengthOf(days);
  const reading = await history.ohlc({ assetId, currency, days, lengthMs });
  return { ...reading, json: ohlcJson(reading, lengthMs, query.precision) };
}

function ohlcJson({ candles }: OhlcReading, lengthMs: number, places: Precision): string {
  const price = (value: number): number => roundPrice(value, places ?? 'full');
  return JSON.stringify(
    candles.map(({ openTime, open, high, low, close }) => [
      openTime + lengthMs,
      price(open),
      price(high),
      price(low),
      price(close),
    ]),
  );
}

/** A day that is over does not change any more (ms). */
const dayUpdateMs = 86_400_000;

const historyQuery = z.object({
  date: requiredText('A UTC day: dd-mm-yyyy'),
  localization: flag('Names in other languages', true),
});

/** The figures of an asset at the start of a day. */
function coinHistory(deps: CoinGeckoApiDeps): Route {
  return v3Route({
    path: '/coins/:id/history',
    summary: 'Get price, market capitalisation and volume of an asset on a day',
    description:
      'Stored prices in their currencies; if the day is not stored, the response of the price source in all currencies.',
    params: idPath,
    query: historyQuery,
    responses: {
      400: 'The day is not valid',
      401: 'The API key is not valid, or no source has data that old',
      404: 'No asset has this id',
      422: 'The date is missing',
    },
    handler: async (ctx, { params, query, viewer }) => {
      const assetId = checkedId(params.id, deps.assets);
      const day = dayOf(query.date);
      if (day > deps.clock.now()) throw noDay();
      const { localization } = query;
      const own = await deps.history.dayOf(assetId, day);
      if (own.length > 0) {
        sendOwn(ctx, deps, { assetId, own, localization });
        return;
      }
      refuseUnlisted(deps.assets, assetId);
      const path = canonicalPath(`/coins/${encodeURIComponent(assetId)}/history`, {
        date: textOf(day),
        localization,
      });
      try {
        const refusals = { notFound: coinNotFound, outOfReach: () => outOfReach(freeReachDays) };
        const requested = { path, freshMs: dayUpdateMs, viewer, ...refusals };
        const { state, response } = await readPassthrough(deps, requested);
        const ageMs = deps.clock.now() - response.receivedAt;
        respondV3(ctx, { json: response.json, cache: 'slow', state, ageMs });
      } catch (error) {
        if (error instanceof NotFoundError) throw error;
        const { filled, reading } = await fillDay(deps, { assetId, day, viewer });
        if (filled.length > 0) sendOwn(ctx, deps, { assetId, own: filled, localization });
        else throw await refusalOf(deps, { error, reading });
      }
    },
  });
}

/** Other sources reach further back, though in one currency only. */
async function fillDay(
  { history, config }: CoinGeckoApiDeps,
  { assetId, day, viewer }: { readonly assetId: string; readonly day: number; readonly viewer: Principal },
): Promise<{ filled: readonly DayPoint[]; reading: ChartReading }> {
  const span = { from: day, to: day + dayMs - 1, waitMs: config.READ_WAIT };
  const requested = { assetId, currency: 'usd', granularity: '1d', ...span, requester: viewer } as const;
  const reading = await history.chart(requested);
  return { filled: await history.dayOf(assetId, day), reading };
}

/** While another source may still tell the day, it is on its way, whatever the first one has refused. */
async function refusalOf(
  { upstream }: CoinGeckoApiDeps,
  { error, reading }: { readonly error: unknown; readonly reading: ChartReading },
): Promise<unknown> {
  const isComing = reading.state === 'partial' && reading.isRefused !== true;
  return isOutOfReach(error) && isComing ? await unserved('pending', upstream, { kind: 'alone' }) : error;
}

function sendOwn(
  ctx: ApiContext,
  { assets }: CoinGeckoApiDeps,
  {
    assetId,
    own,
    localization,
  }: { readonly assetId: string; readonly own: readonly DayPoint[]; readonly localization: boolean },
): void {
  const asset = assets.byId(assetId);
  const by = (read: (point: DayPoint) => number | null): Record<string, number> =>
    Object.fromEntries(
      own.flatMap((point) => {
        const value = read(point);
        return value === null ? [] : [[point.currency, value]];
      }),
    );
  const name = asset?.name ?? assetId;
  const image = asset?.image ?? undefined;
  const json = JSON.stringify({
    id: assetId,
    symbol: asset?.symbol ?? assetId,
    name,
    ...(localization ? { localization: { en: name } } : {}),
    image: image === undefined ? {} : { thumb: image, small: image },
    market_data: {
      current_price: by(({ price }) => price),
      market_cap: by(({ marketCap }) => marketCap),
      total_volume: by(({ volume }) => volume),
    },
    // What is not kept here; CoinGecko's contract has these as objects with nullable figures.
    community_data: {},
    developer_data: {},
    public_interest_stats: {},
  });
  respondV3(ctx, { json, cache: 'slow', state: 'fresh' });
}

function noDay(): AppError {
  return new AppError('invalid date', { code: 'invalid_parameter', status: 400 });
}

/** Midnight of a `dd-mm-yyyy` (ms since the epoch). @throws {AppError} 400 for a day that there is not. */
function dayOf(text: string): number {
  const [, day, month, year] = /^(\d{1,2})-(\d{1,2})-(\d{4})$/.exec(text) ?? [];
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day));
  if (Number.isNaN(at) || new Date(at).getUTCDate() !== Number(day) || at < 0) throw noDay();
  return at;
}

function textOf(day: number): string {
  const [year, month, date] = new Date(day).toISOString().slice(0, 10).split('-');
  return [date, month, year].join('-');
}
