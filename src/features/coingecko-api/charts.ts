import type { Principal } from '../../domain/principal.ts';
import { chartIntervals, dayMs, granularityOf, type ChartInterval } from '../history/chart.ts';
import { isQuoteCurrency } from '../../domain/currencies.ts';
import { freeReachDays } from '../history/history-gaps.ts';
import type { HistoryPoint } from '../../domain/history.ts';
import type { ChartReading } from '../history/history-reader.ts';
import type { AppDeps } from '../../app-deps.ts';
import type { V3State } from './answer.ts';
import { coinNotFound, invalidParameter, outOfReach } from '../../platform/http/v3-errors.ts';
import { roundPrice, type Precision } from './numbers.ts';
import { unserved } from './unserved.ts';

/** What charts are made of. */
export type ChartDeps = Pick<AppDeps, 'history' | 'market' | 'assets' | 'clock' | 'config' | 'budgetStatus'>;

/** A chart that was asked for; moments in milliseconds since the epoch. */
export interface ChartQuestion {
  readonly assetId: string;
  readonly currency: string;
  readonly from: number;
  readonly to: number;
  readonly interval: ChartInterval | undefined;
  readonly precision: Precision;
  /** Whether the chart ends with the latest price. */
  readonly untilNow: boolean;
  readonly viewer: Principal;
}

/** A chart as JSON text, and what of it is there. */
export interface FoundChart {
  readonly json: string;
  readonly state: V3State;
  /** Moment of the last point; undefined without one. */
  readonly lastAt: number | undefined;
}

/** Longest wait (ms) for the last point of a chart: one without it is a chart. */
const latestWaitMs = 1_000;

/** No asset is older than the first (ms since the epoch). */
export const firstMoment = Date.UTC(2009, 0, 3);

/** @throws {AppError} 422 for a currency that CoinGecko does not price in. */
export function checkedCurrency(currency: string): string {
  if (!isQuoteCurrency(currency)) throw invalidParameter('invalid vs_currency');
  return currency;
}

/**
 * Reads a chart, and waits for what is missing within bounds.
 * @throws {AppError} 404 where nobody knows the asset; 401 where no source reaches back to; 503 where nothing can be had now.
 */
export async function readChart(deps: ChartDeps, asked: ChartQuestion): Promise<FoundChart> {
  const { assetId, currency, from, to, viewer } = asked;
  const { history, clock, config } = deps;
  const now = clock.now();
  if (from > to || from > now)
    return { json: chartJson([], asked.precision), state: 'fresh', lastAt: undefined };
  const granularity =
    asked.interval === undefined ? granularityOf({ from, to, now }) : chartIntervals[asked.interval];
  const isListed = !deps.assets.isKnown() || deps.assets.byId(assetId) !== undefined;
  // Of an asset that is on no list only what was imported can be known: nothing is asked for.
  const waitMs = isListed ? config.READ_WAIT_MS : 0;
  const span = { from: Math.max(from, firstMoment), to: Math.min(to, now) };
  const [reading, latest] = await Promise.all([
    history.chart({ assetId, currency, granularity, ...span, waitMs, requester: viewer, asks: isListed }),
    asked.untilNow && isListed ? latestOf(deps, asked, Math.min(waitMs, latestWaitMs)) : undefined,
  ]);
  const points = withLatest(reading, latest, span);
  if (points.length === 0 && (!isListed || latest === 'not_found')) throw coinNotFound();
  if (points.length === 0) await refuseEmpty(deps, { reading, isFarPast: isFarPast(span.to, now) });
  return {
    json: chartJson(points, asked.precision),
    state: reading.state === 'partial' && isListed ? 'partial' : 'fresh',
    lastAt: points.at(-1)?.at,
  };
}

/** Nothing at all is an answer only where the source has nothing. */
async function refuseEmpty(
  { budgetStatus }: ChartDeps,
  { reading, isFarPast }: { readonly reading: ChartReading; readonly isFarPast: boolean },
): Promise<void> {
  const { state, isRefused } = reading;
  if (state === 'unknown') throw coinNotFound();
  if (state !== 'partial') return;
  if (isRefused && isFarPast) throw outOfReach(freeReachDays);
  throw await unserved(isRefused ? 'unavailable' : 'pending', budgetStatus);
}

/** Whether a moment lies before those that free plans reach back to. */
function isFarPast(at: number, now: number): boolean {
  return at < now - freeReachDays * dayMs;
}

/** The latest quote as a point; undefined without one. */
async function latestOf(
  { market }: ChartDeps,
  { assetId, currency, viewer }: ChartQuestion,
  waitMs: number,
): Promise<HistoryPoint | 'not_found' | undefined> {
  const asked = { currency, assetIds: [assetId], waitMs, requester: viewer };
  // A chart without its last point is a chart; the cache may be away.
  const readings = await market.quotes(asked).catch(() => undefined);
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
