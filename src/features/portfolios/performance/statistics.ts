/**
 * Statistics of daily series: a number, or why there is none. They are doubles: never money. Days without a return (NaN) do not
 * count.
 */

/** A statistic, or why there is none. */
export type Statistic =
  | { readonly value: number }
  | {
      readonly value: null;
      readonly reason:
        | 'no_flows'
        | 'flows_of_one_sign'
        | 'flows_of_one_day'
        | 'no_rate_found'
        | 'too_few_days'
        | 'span_of_a_year_or_less'
        | 'no_capital'
        | 'no_variation'
        | 'all_was_lost'
        | 'value_unknown'
        | 'no_prices'
        | 'more_withdrawn_than_held';
    };

/** A figure with a value. */
export function statistic(value: number): Statistic {
  return { value };
}

/** A missing figure, and why. */
export function noStatistic(reason: Extract<Statistic, { value: null }>['reason']): Statistic {
  return { value: null, reason };
}

/** Daily values and flows of a range of days. */
export interface FlowSeries {
  /** Value at the end of the day before the first one: 0 when nothing was held, NaN when it is unknown. */
  readonly valueBefore: number;
  /** Value at the end of each day; NaN where it is unknown. */
  readonly values: Float64Array;
  readonly inflows: Float64Array;
  readonly outflows: Float64Array;
}

/**
 * Return of each day: `r = (V + out) / (V₋₁ + in) − 1`, so what comes in counts from the start of its day and what goes out
 * until its end. NaN on a day without capital, and on one without a value, whose flows then count on the next day that has one.
 *
 * Source: CFA Institute, Global Investment Performance Standards, "Guidance Statement on Calculation Methodology" (2011): daily
 * valuation, external flows at the start or the end of the day by a consistent rule.
 */
export function dailyReturns({ valueBefore, values, inflows, outflows }: FlowSeries): Float64Array {
  const returns = new Float64Array(values.length).fill(NaN);
  let before = valueBefore;
  let [came, went] = [0, 0];
  for (let day = 0; day < values.length; day++) {
    const value = values[day] ?? NaN;
    came += inflows[day] ?? 0;
    went += outflows[day] ?? 0;
    if (Number.isNaN(value)) continue;
    const capital = before + came;
    if (capital > 0) returns[day] = (value + went) / capital - 1;
    before = value;
    came = 0;
    went = 0;
  }
  return returns;
}

/**
 * Time-weighted return: `Π (1 + r) − 1` over the days with capital.
 *
 * Source: CFA Institute, GIPS 2020, provision 2.A.21 and Guidance Statement on Calculation Methodology (geometric linking).
 */
export function timeWeightedReturn(returns: Float64Array): Statistic {
  let growth = 1;
  let counted = 0;
  for (const each of returns) {
    if (Number.isNaN(each)) continue;
    growth *= 1 + each;
    counted += 1;
  }
  return counted === 0 ? noStatistic('no_capital') : statistic(growth - 1);
}

/** The value by the end of each day of 1 invested at the start, at these returns; days without one leave it unchanged. */
export function growthOf(returns: Float64Array): Float64Array {
  let growth = 1;
  return returns.map((each) => {
    if (!Number.isNaN(each)) growth *= 1 + each;
    return growth;
  });
}

/**
 * Compound annual growth rate: `(1 + R)^(365 / days) − 1`; only for ranges of more than a year, because a shorter one would
 * extrapolate to a year that never happened.
 *
 * Source: GIPS 2020, provision 2.A.24 (returns for periods of less than one year are not annualised).
 */
export function compoundAnnualGrowth(total: Statistic, days: number): Statistic {
  if (total.value === null) return total;
  return days <= 365
    ? noStatistic('span_of_a_year_or_less')
    : statistic((1 + total.value) ** (365 / days) - 1);
}

/**
 * Gain over the range, `V + Σ out − Σ in − V₀`, and return on investment, `gain / (V₀ + Σ in)`, on the value at the start and
 * what came in.
 *
 * Source: simple holding-period profit and its ratio to invested capital, as in Bacon, "Practical Portfolio Performance
 * Measurement and Attribution", 2nd ed. (2008), ch. 3.
 */
export function gainOf({ valueBefore, values, inflows, outflows }: FlowSeries): {
  readonly gain: Statistic;
  readonly roi: Statistic;
} {
  const invested = valueBefore + sum(inflows);
  const gain = (values.at(-1) ?? NaN) + sum(outflows) - invested;
  if (Number.isNaN(gain)) return { gain: noStatistic('value_unknown'), roi: noStatistic('value_unknown') };
  return {
    gain: statistic(gain),
    roi: invested > 0 ? statistic(gain / invested) : noStatistic('no_capital'),
  };
}

/** Sum of amounts. */
export function sum(amounts: Float64Array): number {
  return amounts.reduce((total, each) => total + each, 0);
}

/** Crypto markets have no holidays. */
const daysPerYear = 365;
/** A smaller deviation is a rounding error of doubles, and counts as 0. */
const minSpread = 1e-15;

function known(returns: Float64Array): Float64Array {
  return returns.filter((each) => !Number.isNaN(each));
}

function mean(values: Float64Array): number {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}

/** Sample standard deviation (n − 1). */
function deviation(values: Float64Array): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, each) => sum + (each - middle) ** 2, 0) / (values.length - 1));
}

/**
 * Annualised volatility: sample standard deviation of daily log returns `ln(1 + r)`, times √365.
 *
 * Source: J. C. Hull, "Options, Futures, and Other Derivatives", 9th ed. (2014), 15.4 (with days of trading per year = 365).
 */
export function volatility(returns: Float64Array): Statistic {
  const logs = known(returns).map((each) => Math.log1p(each));
  if (logs.length < 2) return noStatistic('too_few_days');
  return logs.includes(-Infinity)
    ? noStatistic('all_was_lost')
    : statistic(deviation(logs) * Math.sqrt(daysPerYear));
}

/**
 * Annualised Sharpe ratio: mean of daily excess returns over their sample standard deviation, times √365. The risk-free rate
 * is annual and spread evenly over the days.
 *
 * Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), pp. 49–58 (ex post, with time scaling).
 */
export function sharpe(returns: Float64Array, riskFreeRate: number): Statistic {
  const excess = known(returns).map((each) => each - riskFreeRate / daysPerYear);
  if (excess.length < 2) return noStatistic('too_few_days');
  const spread = deviation(excess);
  return spread <= minSpread
    ? noStatistic('no_variation')
    : statistic((mean(excess) / spread) * Math.sqrt(daysPerYear));
}

/**
 * Annualised Sortino ratio: mean of daily excess returns over the downside deviation `√(Σ min(0, excess)² / n)`, times √365.
 *
 * Source: F. A. Sortino and L. N. Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing 3
 * (1994), pp. 59–64 (target = risk-free rate).
 */
export function sortino(returns: Float64Array, riskFreeRate: number): Statistic {
  const excess = known(returns).map((each) => each - riskFreeRate / daysPerYear);
  if (excess.length < 2) return noStatistic('too_few_days');
  const downside = Math.sqrt(mean(excess.map((each) => Math.min(0, each) ** 2)));
  return downside === 0
    ? noStatistic('no_variation')
    : statistic((mean(excess) / downside) * Math.sqrt(daysPerYear));
}

/** With fewer days there is no worst 5 %. */
const minForTail = 20;

/**
 * One-day historical VaR and CVaR (expected shortfall) at 95 %: of n daily returns the `⌊n × 5 %⌋` worst (one at least); the
 * best of them (`valueAtRisk`) and their mean (`conditional`), negated: more than 0 is a loss, as a share of the value.
 *
 * Source: P. Jorion, "Value at Risk", 3rd ed. (2006), 10.3 (historical simulation); C. Acerbi and D. Tasche, "On the coherence
 * of expected shortfall", Journal of Banking and Finance 26 (2002), pp. 1487–1503 (mean of the worst ⌊nα⌋ outcomes).
 */
export function tailRisk(returns: Float64Array): {
  readonly valueAtRisk: Statistic;
  readonly conditional: Statistic;
} {
  const sorted = known(returns).sort();
  if (sorted.length < minForTail) {
    return { valueAtRisk: noStatistic('too_few_days'), conditional: noStatistic('too_few_days') };
  }
  const worst = sorted.subarray(0, Math.floor(sorted.length / minForTail));
  return { valueAtRisk: statistic(-(worst.at(-1) ?? NaN)), conditional: statistic(-mean(worst)) };
}

/** The deepest fall from a high. Days count from the first of the series; −1 is the day before it. */
export interface Drawdown {
  /** Share of the high that was lost, 0 when the series never fell. */
  readonly depth: number;
  /** Day of the high. */
  readonly peak: number;
  /** Day of the low. */
  readonly trough: number;
  /** First day at the old high again; null when there was none. */
  readonly recovered: number | null;
}

/**
 * Maximum drawdown of growth that starts at 1: the largest `1 − G / (highest G before)`, the first of equal ones.
 *
 * Source: M. Magdon-Ismail and A. Atiya, "Maximum drawdown", Risk 17 (2004), pp. 99–102.
 */
export function maxDrawdown(growth: Float64Array): Drawdown {
  let [high, peak] = [1, -1];
  let worst: Drawdown = { depth: 0, peak: -1, trough: -1, recovered: null };
  growth.forEach((each, day) => {
    if (each >= high) [high, peak] = [each, day];
    const depth = 1 - each / high;
    if (depth > worst.depth) worst = { depth, peak, trough: day, recovered: null };
  });
  if (worst.depth === 0) return worst;
  const before = worst.peak === -1 ? 1 : (growth[worst.peak] ?? 1);
  const recovered = growth.findIndex((each, day) => day > worst.trough && each >= before);
  return { ...worst, recovered: recovered === -1 ? null : recovered };
}

/**
 * Correlation matrix of assets, row by row: Pearson's coefficient of the daily log returns of each pair, over the days on
 * which both have a price of their own and of the day before (a price carried forward would be a return of 0 that never was).
 * NaN where fewer than `minPairs` days remain or a price never moved; 1 on the diagonal.
 *
 * Source: K. Pearson, "Notes on regression and inheritance in the case of two parents", Proc. R. Soc. 58 (1895), pp. 240–242.
 * @param prices observed prices asset by asset (`asset * days + day`), NaN where there is none.
 */
export function correlationMatrix(prices: Float64Array, days: number): Float64Array {
  const assets = days === 0 ? 0 : prices.length / days;
  const returns = Array.from({ length: assets }, (_, asset) =>
    logReturns(prices.subarray(asset * days, (asset + 1) * days)),
  );
  const matrix = new Float64Array(assets * assets).fill(1);
  returns.forEach((a, row) => {
    returns.slice(row + 1).forEach((b, offset) => {
      const column = row + 1 + offset;
      const coefficient = pearson(a, b);
      matrix[row * assets + column] = coefficient;
      matrix[column * assets + row] = coefficient;
    });
  });
  return matrix;
}

/** Fewer pairs are not significant. */
const minPairs = 3;

function logReturns(prices: Float64Array): Float64Array {
  return prices.map((price, day) => {
    const change = Math.log(price / (prices[day - 1] ?? NaN));
    return Number.isFinite(change) ? change : NaN;
  });
}

/** Two passes, the second over differences from the means, which keeps digits that sums of squares would lose. */
function pearson(a: Float64Array, b: Float64Array): number {
  let [count, sumX, sumY] = [0, 0, 0];
  for (let day = 0; day < a.length; day++) {
    const [x, y] = [a[day] ?? NaN, b[day] ?? NaN];
    if (Number.isNaN(x + y)) continue;
    count += 1;
    sumX += x;
    sumY += y;
  }
  if (count < minPairs) return NaN;
  let [cross, squareX, squareY] = [0, 0, 0];
  for (let day = 0; day < a.length; day++) {
    const [x, y] = [a[day] ?? NaN, b[day] ?? NaN];
    if (Number.isNaN(x + y)) continue;
    const [dx, dy] = [x - sumX / count, y - sumY / count];
    cross += dx * dy;
    squareX += dx * dx;
    squareY += dy * dy;
  }
  const scale = Math.sqrt(squareX) * Math.sqrt(squareY);
  return scale === 0 ? NaN : Math.max(-1, Math.min(1, cross / scale));
}

/**
 * The value of the same flows in one asset: everything that came in bought it at the price of that day, everything that went
 * out sold it. The value of each day; NaN from the day on which more went out than was there, and until the first price is
 * known.
 *
 * Source: A. Long and C. Nickels, "A Private Investment Benchmark" (1996), the index comparison or public market equivalent.
 * @param prices price of each day, missing ones carried forward; NaN before the first.
 * @param priceBefore price of the day before.
 */
export function benchmarkValues(
  { valueBefore, inflows, outflows }: FlowSeries,
  prices: Float64Array,
  priceBefore: number,
): Float64Array {
  let units = valueBefore === 0 ? 0 : valueBefore / priceBefore;
  return prices.map((price, day) => {
    const flow = (inflows[day] ?? 0) - (outflows[day] ?? 0);
    // Before the first price nothing could be bought: without flows nothing is held.
    if (flow !== 0) units += flow / price;
    if (units < 0) units = isDust(units * price, flow) ? 0 : NaN;
    return units === 0 ? 0 : units * price;
  });
}

/** Whether a shortfall is only a rounding error of doubles. */
function isDust(value: number, flow: number): boolean {
  return Math.abs(value) <= Math.abs(flow) * 1e-12;
}
