/** The points of CoinGecko's charts. */
import type { HistoryPoint, HistorySpan } from '../../../domain/history.ts';

/** Three lists of `[moment, value]` side by side, unchecked. */
interface Chart {
  readonly prices: readonly unknown[];
  readonly marketCaps: readonly unknown[];
  readonly volumes: readonly unknown[];
}

/** The chart in an answer of `market_chart`; undefined when it is none. */
export function chartOf(body: unknown): Chart | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { prices, market_caps: marketCaps, total_volumes: volumes } = body as Record<string, unknown>;
  if (!Array.isArray(prices) || !Array.isArray(marketCaps) || !Array.isArray(volumes)) return undefined;
  return { prices, marketCaps, volumes };
}

/**
 * The observed points of a chart within a span, oldest first, each moment once. What is no price is left out; a market
 * capitalisation of 0, which is CoinGecko's way of saying that it knows none, is passed on as it was told.
 */
export function pointsOf(chart: Chart, { from, to }: HistorySpan): HistoryPoint[] {
  const caps = valuesOf(chart.marketCaps);
  const volumes = valuesOf(chart.volumes);
  const prices = [...valuesOf(chart.prices)].filter(([at]) => at >= from && at <= to);
  return prices
    .sort(([left], [right]) => left - right)
    .map(([at, price]) => ({
      at,
      price,
      marketCap: caps.get(at) ?? null,
      volume: volumes.get(at) ?? null,
    }));
}

function valuesOf(pairs: readonly unknown[]): Map<number, number> {
  const values = new Map<number, number>();
  for (const pair of pairs) {
    const [at, value] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (isAmount(at) && isAmount(value)) values.set(at, value);
  }
  return values;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
