/**
 * The figures of a portfolio over a range as clients get them: every statistic is a number, or null with its reason. Pure over
 * tables, so that a thread and the caller compute the same text.
 */
import { performanceOf, type Performance, type SeriesPerformance } from './performance.ts';
import { noStatistic, type Statistic } from './statistics.ts';
import { valueSeries, type PerformanceTables } from './tables.ts';

/**
 * Correlations are reported for at most this many assets, the largest at the end of the range: the matrix grows with the
 * square.
 */
const maxCorrelated = 30;

/** Computes all figures. */
export function computeReport(tables: PerformanceTables) {
  const { days, quantities, prices, pricesBefore } = tables;
  const series = valueSeries({ days, quantities, prices, pricesBefore });
  const flows = flowsOf(tables, series.prices);
  const held = largestHeld(tables, series);
  const benchmark = carriedForward(tables.benchmark, tables.benchmarkBefore);
  const performance = performanceOf(
    {
      firstDay: tables.firstDay - Number(tables.hasBefore),
      values: withBefore(tables, series.values, valueBefore(tables)),
      inflows: withBefore(tables, flows.inflows, 0),
      outflows: withBefore(tables, flows.outflows, 0),
      prices: observedPrices(tables, held.assets),
      benchmark: benchmark.isKnown ? withBefore(tables, benchmark.prices, tables.benchmarkBefore) : null,
      riskFreeRate: tables.riskFreeRate,
    },
    tables.range,
  );
  const missing = series.carried.map((carried, asset) => carried + (series.unpriced[asset] ?? 0));
  const reported = {
    ...totalsOf(performance),
    ...statsOf(performance),
    benchmark: benchmarkOf(performance, benchmark),
    correlation: correlationOf(tables, performance, held),
    prices: pricesOf(tables, series),
    unvalued_transfers: flows.unvalued,
  };
  return {
    /** JSON text of an object. */
    json: JSON.stringify(reported),
    /** Days by asset on which it was held without a price of its own. */
    missing,
    /** Value at the end of each day; NaN where it is unknown. */
    values: series.values,
  };
}

/** Most unvalued transfers that are listed. */
const maxUnvalued = 100;

/**
 * Cash, and transfers at the price of their day: the same price at which the day is valued, so that a transfer by itself gains
 * nothing.
 */
function flowsOf({ days, assets, firstDay, transfers, ...cash }: PerformanceTables, prices: Float64Array) {
  const [inflows, outflows] = [Float64Array.from(cash.inflows), Float64Array.from(cash.outflows)];
  const first: object[] = [];
  let count = 0;
  transfers.quantities.forEach((quantity, index) => {
    const [asset, day] = [transfers.assets[index] ?? 0, transfers.days[index] ?? 0];
    const flow = quantity * (prices[asset * days + day] ?? NaN) + (transfers.fees[index] ?? 0);
    if (flow > 0) inflows[day] = (inflows[day] ?? 0) + flow;
    else if (flow <= 0) outflows[day] = (outflows[day] ?? 0) - flow;
    else {
      const transferred = transfers.counts[index] ?? 0;
      count += transferred;
      const direction = quantity > 0 ? 'in' : 'out';
      if (first.length < maxUnvalued)
        first.push({ asset: assets[asset], date: dateOf(firstDay + day), direction, count: transferred });
    }
  });
  return { inflows, outflows, unvalued: { count, first } };
}

function valueBefore({ hasBefore, quantitiesBefore, pricesBefore }: PerformanceTables): number {
  if (!hasBefore) return 0;
  return quantitiesBefore.reduce(
    (sum, quantity, asset) => (quantity === 0 ? sum : sum + quantity * (pricesBefore[asset] ?? NaN)),
    0,
  );
}

function withBefore({ hasBefore }: PerformanceTables, values: Float64Array, before: number): Float64Array {
  return hasBefore ? Float64Array.of(before, ...values) : values;
}

/** Indexes of the assets held, the largest first. */
function largestHeld(
  { days, assets, quantities }: PerformanceTables,
  { prices }: ReturnType<typeof valueSeries>,
) {
  const last = (asset: number): number => asset * days + days - 1;
  const worth = (asset: number): number => {
    const value = (quantities[last(asset)] ?? 0) * (prices[last(asset)] ?? NaN);
    return Number.isNaN(value) ? 0 : value;
  };
  const held = [...assets.keys()].filter((asset) => (quantities[last(asset)] ?? 0) > 0);
  const sorted = held.sort((a, b) => worth(b) - worth(a) || a - b);
  return { assets: sorted.slice(0, maxCorrelated), leftOut: Math.max(0, sorted.length - maxCorrelated) };
}

function observedPrices(tables: PerformanceTables, held: readonly number[]): Float64Array {
  const { days, prices, observedBefore, hasBefore } = tables;
  const length = days + Number(hasBefore);
  const table = new Float64Array(held.length * length);
  held.forEach((asset, place) => {
    if (hasBefore) table[place * length] = observedBefore[asset] ?? NaN;
    table.set(prices.subarray(asset * days, (asset + 1) * days), (place + 1) * length - days);
  });
  return table;
}

function carriedForward(observed: Float64Array, before: number) {
  let [last, carried, unpriced] = [before, 0, 0];
  const prices = observed.map((price) => {
    if (!Number.isNaN(price)) return (last = price);
    if (Number.isNaN(last)) unpriced += 1;
    else carried += 1;
    return last;
  });
  return { prices, carried, unpriced, isKnown: !Number.isNaN(last) };
}

function totalsOf({ valueBefore: begin, valueAfter, inflow, outflow }: Performance): object {
  const value = (each: number): object =>
    presentStatistic(Number.isNaN(each) ? noStatistic('value_unknown') : { value: each });
  return {
    start_value: value(begin),
    end_value: value(valueAfter),
    inflow,
    outflow,
    net_inflow: inflow - outflow,
  };
}

function statsOf(figures: SeriesPerformance): object {
  const { gain, roi, timeWeighted, moneyWeighted, cagr, volatility, sharpe, sortino, tail } = figures;
  return {
    gain: presentStatistic(gain),
    roi: presentStatistic(roi),
    twr: presentStatistic(timeWeighted),
    xirr: presentStatistic(moneyWeighted),
    cagr: presentStatistic(cagr),
    volatility: presentStatistic(volatility),
    sharpe: presentStatistic(sharpe),
    sortino: presentStatistic(sortino),
    var_95: presentStatistic(tail.valueAtRisk),
    cvar_95: presentStatistic(tail.conditional),
    max_drawdown: drawdownOf(figures),
  };
}

/** Without a return there is no drawdown; without a drawdown it has no days. */
function drawdownOf({ timeWeighted, drawdown }: SeriesPerformance): object {
  const { depth, peak, trough, recovered } = drawdown;
  const none = { peak: null, trough: null, recovered: null };
  if (timeWeighted.value === null) return { ...presentStatistic(timeWeighted), ...none };
  const reported = presentStatistic({ value: depth });
  if (depth === 0) return { ...reported, ...none };
  const date = recovered === null ? null : dateOf(recovered);
  return { ...reported, peak: dateOf(peak), trough: dateOf(trough), recovered: date };
}

function benchmarkOf(
  { benchmark, valueBefore: begin }: Performance,
  { carried, unpriced }: ReturnType<typeof carriedForward>,
): object {
  const prices = { days_carried: carried, days_unknown: unpriced };
  if (benchmark === null) return { ...statsOf(withoutPrices), prices };
  // With all prices known, its value can be unknown for only one reason.
  const isOverdrawn = unpriced === 0 && !Number.isNaN(begin);
  const reason = isOverdrawn ? 'more_withdrawn_than_held' : 'value_unknown';
  const reported = (statistic: Statistic): Statistic =>
    statistic.value === null && statistic.reason === 'value_unknown' ? noStatistic(reason) : statistic;
  const { gain, roi, moneyWeighted } = benchmark;
  const same = {
    ...benchmark,
    gain: reported(gain),
    roi: reported(roi),
    moneyWeighted: reported(moneyWeighted),
  };
  return { ...statsOf(same), prices };
}

const none = noStatistic('no_prices');

const withoutPrices: SeriesPerformance = {
  gain: none,
  roi: none,
  timeWeighted: none,
  moneyWeighted: none,
  cagr: none,
  volatility: none,
  sharpe: none,
  sortino: none,
  tail: { valueAtRisk: none, conditional: none },
  drawdown: { depth: 0, peak: 0, trough: 0, recovered: null },
};

function correlationOf(
  { assets }: PerformanceTables,
  { correlation }: Performance,
  held: ReturnType<typeof largestHeld>,
): object {
  const size = held.assets.length;
  const row = (from: number): (number | null)[] =>
    Array.from(correlation.subarray(from * size, (from + 1) * size), (each) =>
      Number.isNaN(each) ? null : each,
    );
  return {
    assets: held.assets.map((asset) => assets[asset]),
    matrix: held.assets.map((_, place) => row(place)),
    left_out: held.leftOut,
  };
}

function pricesOf({ assets }: PerformanceTables, series: ReturnType<typeof valueSeries>): object {
  const by = assets.map((asset, number) => ({
    asset,
    carried: series.carried[number] ?? 0,
    unpriced: series.unpriced[number] ?? 0,
  }));
  return {
    days_carried: series.carriedDays,
    days_unknown: series.unknownDays,
    by_asset: by.filter(({ carried, unpriced }) => carried + unpriced > 0),
  };
}

/** A statistic as clients get it: a number, or null with its reason. */
function presentStatistic(statistic: Statistic): object {
  if (statistic.value === null) return statistic;
  return Number.isFinite(statistic.value)
    ? { value: statistic.value, reason: null }
    : { value: null, reason: 'beyond_numbers' };
}

/** `2024-01-31` of the number of a day. */
function dateOf(day: number): string {
  return new Date(day * 86_400_000).toISOString().slice(0, 10);
}
