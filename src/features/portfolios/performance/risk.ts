/** Risk over daily returns. Days without a return (NaN) do not count. */
import { figure, noFigure, type Figure } from './figure.ts';

/** Crypto markets have no holidays. */
const daysPerYear = 365;
/** Less is what doubles leave over of a deviation of 0. */
const leastSpread = 1e-15;

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
export function volatility(returns: Float64Array): Figure {
  const logs = known(returns).map((each) => Math.log1p(each));
  if (logs.length < 2) return noFigure('too_few_days');
  return logs.includes(-Infinity)
    ? noFigure('all_was_lost')
    : figure(deviation(logs) * Math.sqrt(daysPerYear));
}

/**
 * Annualised Sharpe ratio: mean of daily excess returns over their sample standard deviation, times √365. The risk-free rate
 * is annual and spread evenly over the days.
 *
 * Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), pp. 49–58 (ex post, with time scaling).
 */
export function sharpe(returns: Float64Array, riskFreeRate: number): Figure {
  const excess = known(returns).map((each) => each - riskFreeRate / daysPerYear);
  if (excess.length < 2) return noFigure('too_few_days');
  const spread = deviation(excess);
  return spread <= leastSpread
    ? noFigure('no_variation')
    : figure((mean(excess) / spread) * Math.sqrt(daysPerYear));
}

/**
 * Annualised Sortino ratio: mean of daily excess returns over the downside deviation `√(Σ min(0, excess)² / n)`, times √365.
 *
 * Source: F. A. Sortino and L. N. Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing 3
 * (1994), pp. 59–64 (target = risk-free rate).
 */
export function sortino(returns: Float64Array, riskFreeRate: number): Figure {
  const excess = known(returns).map((each) => each - riskFreeRate / daysPerYear);
  if (excess.length < 2) return noFigure('too_few_days');
  const downside = Math.sqrt(mean(excess.map((each) => Math.min(0, each) ** 2)));
  return downside === 0
    ? noFigure('no_variation')
    : figure((mean(excess) / downside) * Math.sqrt(daysPerYear));
}

/** Losses of the worst days, as shares of the value: more than 0 is a loss. */
export interface TailRisk {
  /** Value at risk: the least loss among the worst days. */
  readonly valueAtRisk: Figure;
  /** Conditional value at risk: the mean loss of the worst days. */
  readonly conditional: Figure;
}

/** Fewer days have no worst 5 %. */
const leastForTail = 20;

/**
 * One-day historical VaR and CVaR (expected shortfall) at 95 %: of n daily returns the `⌊n × 5 %⌋` worst (one at least); the
 * best of them and their mean, negated.
 *
 * Source: P. Jorion, "Value at Risk", 3rd ed. (2006), 10.3 (historical simulation); C. Acerbi and D. Tasche, "On the coherence
 * of expected shortfall", Journal of Banking and Finance 26 (2002), pp. 1487–1503 (mean of the worst ⌊nα⌋ outcomes).
 */
export function tailRisk(returns: Float64Array): TailRisk {
  const sorted = known(returns).sort();
  if (sorted.length < leastForTail) {
    return { valueAtRisk: noFigure('too_few_days'), conditional: noFigure('too_few_days') };
  }
  const worst = sorted.subarray(0, Math.floor(sorted.length / leastForTail));
  return { valueAtRisk: figure(-(worst.at(-1) ?? NaN)), conditional: figure(-mean(worst)) };
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
 * Maximum drawdown of growth that begins at 1: the largest `1 − G / (highest G before)`, the first of equal ones.
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
