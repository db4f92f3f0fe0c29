import type { FlowSeries } from './returns.ts';

/**
 * What the same flows would have come to in one asset: everything that came in bought it at the price of that day, everything
 * that went out sold it. The value of each day; NaN from the day on which more went out than was there, and until the first
 * price is known.
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
    // Before the first price nothing could be bought: if nothing was to be, nothing is held.
    if (flow !== 0) units += flow / price;
    if (units < 0) units = isDust(units * price, flow) ? 0 : NaN;
    return units === 0 ? 0 : units * price;
  });
}

/** Whether a shortfall is what doubles leave over. */
function isDust(value: number, flow: number): boolean {
  return Math.abs(value) <= Math.abs(flow) * 1e-12;
}
