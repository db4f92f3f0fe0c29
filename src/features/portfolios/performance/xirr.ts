import { statistic, noStatistic, type Statistic } from './statistics.ts';

/** Range of ln(1 + r) in which a rate is searched; beyond it, `exp` would exceed the range of doubles. */
const highest = 700;
const lowestByYears = -600;
const newtonSteps = 50;
const brentSteps = 200;
const firstStep = 0.25;
const stepGrowth = 1.25;
const tolerance = 1e-13;

/**
 * Money-weighted annual return: the r that solves `Σ CF_i / (1 + r)^((d_i − d_0) / 365) = 0`.
 * @param flows days (any origin) with an amount each, from the investor's point of view: payments in are negative, payments out
 * positive.
 */
export function xirr(flows: { readonly days: Float64Array; readonly amounts: Float64Array }): Statistic {
  const logRate = logXirr(flows);
  return logRate.value === null ? logRate : statistic(Math.expm1(logRate.value));
}

/**
 * `u = ln(1 + r)` of the r of `xirr`. Newton's method from 10 %, and where that leads nowhere Brent's on the sign change that
 * is nearest to 0. Both work on u, where every u is a rate, so that no step can leave the domain; near a total loss only u is
 * exact, as a double cannot hold an r that close to −1. Flows with several solutions get the one found first by this rule.
 *
 * Source of the equation: Microsoft, "XIRR function" (Excel), also ECMA-376 Part 1, 18.17.7.348. Source of the solver:
 * R. P. Brent, "Algorithms for Minimization without Derivatives" (1973), ch. 4 (zeroin).
 */
export function logXirr({ days, amounts }: Parameters<typeof xirr>[0]): Statistic {
  const counts = (_: number, index: number): boolean => amounts[index] !== 0;
  const flows = { days: days.filter(counts), amounts: amounts.filter(counts) };
  const first = flows.days.reduce((least, day) => Math.min(least, day), Infinity);
  const years = flows.days.map((day) => (day - first) / 365);
  const reason = reasonForNone(years, flows.amounts);
  if (reason !== undefined) return noStatistic(reason);
  // Only the proportions matter; scaling lets flows of 1e-9 and of 1e15 stop at the same precision.
  const scale = flows.amounts.reduce((most, amount) => Math.max(most, Math.abs(amount)), 0);
  const equation: Equation = { years, flows: flows.amounts.map((amount) => amount / scale) };
  const root = newton(equation) ?? brentFrom(equation);
  return root === undefined ? noStatistic('no_rate_found') : statistic(root);
}

/** `f(u) = Σ flow · exp(−u · years)` */
interface Equation {
  readonly years: Float64Array;
  readonly flows: Float64Array;
}

function reasonForNone(
  years: Float64Array,
  amounts: Float64Array,
): 'no_flows' | 'flows_of_one_sign' | 'flows_of_one_day' | 'value_unknown' | undefined {
  if (amounts.some((amount) => !Number.isFinite(amount))) return 'value_unknown';
  if (amounts.length === 0) return 'no_flows';
  if (!amounts.some((amount) => amount < 0) || !amounts.some((amount) => amount > 0))
    return 'flows_of_one_sign';
  return years.every((year) => year === 0) ? 'flows_of_one_day' : undefined;
}

function presentValue({ years, flows }: Equation, u: number): number {
  return flows.reduce((sum, flow, index) => sum + flow * Math.exp(-u * (years[index] ?? 0)), 0);
}

function slope({ years, flows }: Equation, u: number): number {
  return flows.reduce((sum, flow, index) => {
    const year = years[index] ?? 0;
    return sum - year * flow * Math.exp(-u * year);
  }, 0);
}

/** Far out the equation approaches 0 without having a solution: at a solution its terms cancel out. */
function isSolution({ years, flows }: Equation, u: number): boolean {
  const terms = flows.map((flow, index) => flow * Math.exp(-u * (years[index] ?? 0)));
  const whole = terms.reduce((sum, term) => sum + Math.abs(term), 0);
  return Math.abs(terms.reduce((sum, term) => sum + term, 0)) <= whole * 1e-9;
}

function lowest({ years }: Equation): number {
  return lowestByYears / years.reduce((most, year) => Math.max(most, year), 0);
}

function newton(equation: Equation): number | undefined {
  const least = lowest(equation);
  let u = Math.log(1.1);
  for (let step = 0; step < newtonSteps; step++) {
    const change = presentValue(equation, u) / slope(equation, u);
    u -= change;
    if (Number.isNaN(u) || u < least || u > highest) return undefined;
    if (Math.abs(change) <= tolerance * (1 + Math.abs(u))) return isSolution(equation, u) ? u : undefined;
  }
  return undefined;
}

/** Brent's method on the sign change nearest to 0, searched outwards on both sides in growing steps. */
function brentFrom(equation: Equation): number | undefined {
  const f = (u: number): number => presentValue(equation, u);
  const least = lowest(equation);
  for (
    let from = 0, width = firstStep;
    from < Math.max(highest, -least);
    from += width, width *= stepGrowth
  ) {
    for (const [a, b] of [
      [Math.min(from, highest), Math.min(from + width, highest)],
      [Math.max(-from - width, least), Math.max(-from, least)],
    ] as const) {
      if (Math.sign(f(a)) === Math.sign(f(b))) continue;
      const root = brent(f, a, b);
      if (isSolution(equation, root)) return root;
    }
  }
  return undefined;
}

function brent(f: (u: number) => number, low: number, high: number): number {
  // b is the best estimate so far; d is the last step, and e the one before.
  const width = high - low;
  const state = { a: low, fa: f(low), b: high, fb: f(high), c: low, fc: f(low), d: width, e: width };
  for (let step = 0; step < brentSteps; step++) {
    if (Math.abs(state.fc) < Math.abs(state.fb)) {
      Object.assign(state, { a: state.b, fa: state.fb, b: state.c, fb: state.fc, c: state.b, fc: state.fb });
    }
    const closeness = 2 * Number.EPSILON * Math.abs(state.b) + tolerance / 2;
    const middle = (state.c - state.b) / 2;
    if (Math.abs(middle) <= closeness || state.fb === 0) return state.b;
    const step = interpolated(state, middle, closeness);
    state.e = step === undefined ? middle : state.d;
    state.d = step ?? middle;
    state.a = state.b;
    state.fa = state.fb;
    state.b += Math.abs(state.d) > closeness ? state.d : Math.sign(middle) * closeness;
    state.fb = f(state.b);
    if (Math.sign(state.fb) === Math.sign(state.fc)) {
      Object.assign(state, { c: state.a, fc: state.fa, d: state.b - state.a, e: state.b - state.a });
    }
  }
  return state.b;
}

/** The interpolated step; undefined when it is not good enough, and the bracket is halved. */
function interpolated(
  { a, fa, b, fb, c, fc, e }: Readonly<Record<'a' | 'fa' | 'b' | 'fb' | 'c' | 'fc' | 'e', number>>,
  middle: number,
  closeness: number,
): number | undefined {
  if (Math.abs(e) < closeness || Math.abs(fa) <= Math.abs(fb)) return undefined;
  const s = fb / fa;
  const [q0, r0] = [fa / fc, fb / fc];
  let p = a === c ? 2 * middle * s : s * (2 * middle * q0 * (q0 - r0) - (b - a) * (r0 - 1));
  let q = a === c ? 1 - s : (q0 - 1) * (r0 - 1) * (s - 1);
  if (p > 0) q = -q;
  p = Math.abs(p);
  const limit = Math.min(3 * middle * q - Math.abs(closeness * q), Math.abs(e * q));
  return 2 * p < limit ? p / q : undefined;
}
