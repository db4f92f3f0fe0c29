/**
 * All figures of a portfolio over a range of days. Pure over typed arrays, so that it runs in a thread or inline: the input can
 * be transferred without a copy.
 */
import { firstDayOf, type PerformanceRange } from '../../../domain/performance-range.ts';
import {
  benchmarkValues,
  compoundAnnualGrowth,
  correlationMatrix,
  dailyReturns,
  gainOf,
  growthOf,
  maxDrawdown,
  noStatistic,
  sharpe,
  sortino,
  sum,
  tailRisk,
  timeWeightedReturn,
  volatility,
  type Drawdown,
  type Statistic,
  type FlowSeries,
} from './statistics.ts';
import { xirr } from './xirr.ts';

/** Days from the first transaction to today. */
export interface PerformanceInput {
  /** Number of the first day. */
  readonly firstDay: number;
  readonly values: Float64Array;
  readonly inflows: Float64Array;
  readonly outflows: Float64Array;
  /** Observed prices of the assets to correlate, asset by asset; NaN where there is none. Empty without such assets. */
  readonly prices: Float64Array;
  /** Prices of the benchmark, with missing ones carried forward; null without a benchmark. */
  readonly benchmark: Float64Array | null;
  /** Annual, 0.02 is 2 %. */
  readonly riskFreeRate: number;
}

/** Figures of one series of values. */
export interface SeriesPerformance {
  readonly gain: Statistic;
  readonly roi: Statistic;
  readonly timeWeighted: Statistic;
  readonly moneyWeighted: Statistic;
  readonly cagr: Statistic;
  readonly volatility: Statistic;
  readonly sharpe: Statistic;
  readonly sortino: Statistic;
  readonly tail: ReturnType<typeof tailRisk>;
  /** Days are numbered like `firstDay`; a peak may be the day before it. */
  readonly drawdown: Drawdown;
}

/** The performance figures of a portfolio over a range. */
export interface Performance extends SeriesPerformance {
  readonly firstDay: number;
  readonly lastDay: number;
  /** Value at the end of the day before the first. */
  readonly valueBefore: number;
  readonly valueAfter: number;
  readonly inflow: number;
  readonly outflow: number;
  /** The same flows in the benchmark; null without one. */
  readonly benchmark: SeriesPerformance | null;
  /** Row by row, in the form of {@link correlationMatrix}. */
  readonly correlation: Float64Array;
  /** The value by the end of each day of 1 invested at the start. */
  readonly growth: Float64Array;
}

/** Figures over a range that ends with the last day of the input. */
export function performanceOf(input: PerformanceInput, range: PerformanceRange): Performance {
  const days = input.values.length;
  const lastDay = input.firstDay + days - 1;
  const from = Math.max(0, firstDayOf(range, lastDay) - input.firstDay);
  const firstDay = input.firstDay + from;
  const series = cut(input, from);
  const returns = dailyReturns(series);
  return {
    ...statsOf(series, returns, { firstDay, riskFreeRate: input.riskFreeRate }),
    firstDay,
    lastDay,
    valueBefore: series.valueBefore,
    valueAfter: series.values.at(-1) ?? NaN,
    inflow: sum(series.inflows),
    outflow: sum(series.outflows),
    benchmark: benchmarkOf(input, series, from),
    correlation: correlationMatrix(cutPrices(input.prices, days, from), days - from + Number(from > 0)),
    growth: growthOf(returns),
  };
}

function statsOf(
  series: FlowSeries,
  returns: Float64Array,
  { firstDay, riskFreeRate }: Pick<PerformanceInput, 'firstDay' | 'riskFreeRate'>,
): SeriesPerformance {
  const timeWeighted = timeWeightedReturn(returns);
  const { depth, peak, trough, recovered } = maxDrawdown(growthOf(returns));
  return {
    ...gainOf(series),
    timeWeighted,
    moneyWeighted: moneyWeightedReturn(series),
    cagr: compoundAnnualGrowth(timeWeighted, returns.length),
    volatility: volatility(returns),
    sharpe: sharpe(returns, riskFreeRate),
    sortino: sortino(returns, riskFreeRate),
    tail: tailRisk(returns),
    drawdown: {
      depth,
      peak: peak + firstDay,
      trough: trough + firstDay,
      recovered: recovered === null ? null : recovered + firstDay,
    },
  };
}

/** XIRR of a range: the value before it is paid in, the value at its end is paid out. */
function moneyWeightedReturn({ valueBefore, values, inflows, outflows }: FlowSeries): Statistic {
  const count = values.length;
  if (count === 0) return noStatistic('no_flows');
  const amounts = new Float64Array(count + 1);
  amounts[0] = -valueBefore;
  for (let day = 0; day < count; day++) amounts[day + 1] = (outflows[day] ?? 0) - (inflows[day] ?? 0);
  amounts[count] = (amounts[count] ?? 0) + (values[count - 1] ?? NaN);
  const days = Float64Array.from({ length: count + 1 }, (_, index) => index);
  const flows = days.filter((_, index) => amounts[index] !== 0);
  return xirr({ days: flows, amounts: amounts.filter((amount) => amount !== 0) });
}

function cut({ values, inflows, outflows }: PerformanceInput, from: number): FlowSeries {
  return {
    valueBefore: from === 0 ? 0 : (values[from - 1] ?? NaN),
    values: values.subarray(from),
    inflows: inflows.subarray(from),
    outflows: outflows.subarray(from),
  };
}

function benchmarkOf(input: PerformanceInput, series: FlowSeries, from: number): SeriesPerformance | null {
  if (input.benchmark === null) return null;
  const priceBefore = from === 0 ? NaN : (input.benchmark[from - 1] ?? NaN);
  const values = benchmarkValues(series, input.benchmark.subarray(from), priceBefore);
  const same = { ...series, values };
  return statsOf(same, dailyReturns(same), {
    firstDay: input.firstDay + from,
    riskFreeRate: input.riskFreeRate,
  });
}

/** The prices of a range, and of the day before, from which the first return is computed. */
function cutPrices(prices: Float64Array, days: number, from: number): Float64Array {
  if (from === 0) return prices;
  return prices.filter((_, index) => index % days >= from - 1);
}
