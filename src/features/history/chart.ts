import type { Granularity } from '../../domain/history.ts';
import { granularities, granularityMs } from '../../domain/history.ts';

/**
 * CoinGecko's rules for charts: the distance between the points of a span, and the length of its candles. A day is 24
 * hours here, and every moment is in milliseconds since the Unix epoch.
 */

export const dayMs = 86_400_000;

/** Values of the parameter `interval`. */
export const chartIntervals = { '5m': '5m', hourly: '1h', daily: '1d' } as const;
export type ChartInterval = keyof typeof chartIntervals;

/**
 * A request for a span up to now may have been under way for a while, or may name the present in whole seconds or
 * minutes (ms).
 */
export const nowSlackMs = 300_000;

/**
 * The granularity of a span: five minutes for the last day, hours up to 90 days, else days. A single day of the past comes in
 * hours. Source: CoinGecko's documentation of `/coins/{id}/market_chart` and `/range`.
 */
export function granularityOf(span: {
  readonly from: number;
  readonly to: number;
  readonly now: number;
}): Granularity {
  const { from, to, now } = span;
  if (to - from > 90 * dayMs + nowSlackMs) return '1d';
  return from >= now - dayMs - nowSlackMs && to - from <= dayMs + nowSlackMs ? '5m' : '1h';
}

/**
 * Length of the candles of `/coins/{id}/ohlc` (ms): 30 minutes for 1 and 2 days, 4 hours up to 30, else 4 days. Source:
 * CoinGecko's documentation.
 */
export function ohlcLengthOf(days: number): number {
  if (days <= 2) return 1_800_000;
  return days <= 30 ? 4 * 3_600_000 : 4 * dayMs;
}

/** A candle as a part of a longer one. */
export interface OhlcPart {
  readonly openTime: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/**
 * Joins candles to longer ones. A long candle is made only if all its parts exist: the high of half the time may not be
 * the high of the whole. The last candle, which is not over yet, needs only its parts until `now`.
 * @returns candles by their open time, and how many of the span could not be made.
 */
export function joinCandles(
  parts: readonly OhlcPart[],
  span: {
    readonly from: number;
    readonly now: number;
    readonly lengthMs: number;
    readonly partMs: number;
  },
): { readonly candles: readonly OhlcPart[]; readonly missing: number } {
  const { from, now, lengthMs, partMs } = span;
  const groups = new Map<number, OhlcPart[]>();
  for (const part of parts) {
    const begin = Math.floor(part.openTime / lengthMs) * lengthMs;
    const group = groups.get(begin);
    if (group === undefined) groups.set(begin, [part]);
    else group.push(part);
  }
  const candles: OhlcPart[] = [];
  let missing = 0;
  for (let begin = Math.ceil(from / lengthMs) * lengthMs; begin < now; begin += lengthMs) {
    const group = groups.get(begin) ?? [];
    // The part in progress may not have been observed yet, and never replaces one that is over.
    const needed = Math.floor((Math.min(begin + lengthMs, now) - begin) / partMs);
    const over = group.filter(({ openTime }) => openTime + partMs <= now).length;
    if (group.length > 0 && over >= needed) candles.push(joined(begin, group));
    else if (begin + lengthMs <= now) missing++;
  }
  return { candles, missing };
}

function joined(openTime: number, parts: readonly OhlcPart[]): OhlcPart {
  const ordered = [...parts].sort((left, right) => left.openTime - right.openTime);
  return {
    openTime,
    open: ordered[0]?.open ?? Number.NaN,
    high: Math.max(...ordered.map(({ high }) => high)),
    low: Math.min(...ordered.map(({ low }) => low)),
    close: ordered.at(-1)?.close ?? Number.NaN,
  };
}

/**
 * The longest span of one upstream call, by granularity (ms): a longer one costs the same, but would change the
 * granularity.
 */
export const callSpanMs: Readonly<Record<Granularity, number>> = {
  '5m': dayMs,
  '1h': 90 * dayMs - 60_000,
  '1d': 365 * dayMs,
};

/**
 * Points five minutes apart exist only for the last day: a day by the clock of the source, less a minute for rounding
 * and the time of a call (ms).
 */
export const fineReachMs = dayMs - 60_000;

/** A distance belongs to a granularity if it differs from it by at most this share. */
const nearness = 0.1;

/**
 * Whether points have a coarser granularity than was requested: more than half of their distances are hours or days. A
 * sparse history has distances of all lengths, and does not count as coarser.
 * @param times moments of the points (ms), in any order.
 */
export function isCoarser(times: readonly number[], requested: Granularity): boolean {
  const sorted = [...times].sort((left, right) => left - right);
  const distances = sorted.slice(1).map((at, index) => at - (sorted[index] ?? at));
  return granularities.some((granularity) => {
    const length = granularityMs[granularity];
    if (length <= granularityMs[requested]) return false;
    const like = distances.filter((distance) => Math.abs(distance - length) <= nearness * length);
    return distances.length > 1 && like.length > distances.length / 2;
  });
}

/**
 * Time (ms) after its start from which an interval is expected to have a point: providers need some time, and a chart
 * ends with the latest price anyway.
 */
export const graceMs: Readonly<Record<Granularity, number>> = {
  '5m': 3 * granularityMs['5m'],
  '1h': granularityMs['1h'] + 600_000,
  '1d': 900_000,
};
