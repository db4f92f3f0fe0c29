import { figure, noFigure, type Figure } from './figure.ts';

/** Daily values and flows of a stretch of days. */
export interface FlowSeries {
  /** Value at the end of the day before the first one: 0 when nothing was held, NaN when it is unknown. */
  readonly valueBefore: number;
  /** Value at the end of each day; NaN where it is unknown. */
  readonly values: Float64Array;
  readonly inflows: Float64Array;
  readonly outflows: Float64Array;
}

/**
 * Return of each day: `r = (V + out) / (V₋₁ + in) − 1`, so what comes in works from the beginning of its day and what goes
 * out works until its end. NaN on a day without capital, and on one without a value, whose flows then count on the next day
 * that has one.
 *
 * Source: CFA Institute, Global Investment Performance Standards, "Guidance Statement on Calculation Methodology" (2011):
 * daily valuation, external flows at the start or the end of the day by a consistent rule.
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
export function timeWeightedReturn(returns: Float64Array): Figure {
  let growth = 1;
  let counted = 0;
  for (const each of returns) {
    if (Number.isNaN(each)) continue;
    growth *= 1 + each;
    counted += 1;
  }
  return counted === 0 ? noFigure('no_capital') : figure(growth - 1);
}

/** What 1 has become by the end of each day at these returns; days without one leave it as it is. */
export function growthOf(returns: Float64Array): Float64Array {
  let growth = 1;
  return returns.map((each) => {
    if (!Number.isNaN(each)) growth *= 1 + each;
    return growth;
  });
}

/**
 * Compound annual growth rate: `(1 + R)^(365 / days) − 1`; only for spans of more than a year, because a shorter one would
 * tell of a year that never was.
 *
 * Source: GIPS 2020, provision 2.A.24 (returns for periods of less than one year are not annualised).
 */
export function compoundAnnualGrowth(total: Figure, days: number): Figure {
  if (total.value === null) return total;
  return days <= 365 ? noFigure('span_of_a_year_or_less') : figure((1 + total.value) ** (365 / days) - 1);
}

/** Absolute gain and what it is of the capital put in. */
export interface Gain {
  /** `V + Σ out − Σ in − V₀` */
  readonly gain: Figure;
  /** Return on investment: `gain / (V₀ + Σ in)` */
  readonly roi: Figure;
}

/**
 * Gain over the span, and return on investment on what was there and what came in.
 *
 * Source: simple holding-period profit and its ratio to invested capital, as in Bacon, "Practical Portfolio Performance
 * Measurement and Attribution", 2nd ed. (2008), ch. 3.
 */
export function gainOf({ valueBefore, values, inflows, outflows }: FlowSeries): Gain {
  const invested = valueBefore + sum(inflows);
  const gain = (values.at(-1) ?? NaN) + sum(outflows) - invested;
  if (Number.isNaN(gain)) return { gain: noFigure('value_unknown'), roi: noFigure('value_unknown') };
  return { gain: figure(gain), roi: invested > 0 ? figure(gain / invested) : noFigure('no_capital') };
}

function sum(amounts: Float64Array): number {
  return amounts.reduce((total, each) => total + each, 0);
}
