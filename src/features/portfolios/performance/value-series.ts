/**
 * Daily values of a portfolio from daily quantities and prices. A day without a price carries the last one forward, and is
 * counted. A day on which something is held that never had a price yet has no value (NaN): what is unknown is not 0.
 *
 * Tables are asset by asset: entry `asset * days + day`.
 */
export interface SeriesInput {
  readonly days: number;
  /** Held at the end of each day. */
  readonly quantities: Float64Array;
  /** Price of each day; NaN where there is none. */
  readonly prices: Float64Array;
  /** Last price before the first day by asset; NaN where there is none. */
  readonly pricesBefore: Float64Array;
}

/** What comes of it. */
export interface ValueSeries {
  /** Value at the end of each day; NaN where a held asset has no price yet. */
  readonly values: Float64Array;
  /** Prices with the missing ones carried forward; NaN before the first one. */
  readonly prices: Float64Array;
  /** Days by asset on which it was held at a price carried forward. */
  readonly carried: Uint32Array;
  /** Days by asset on which it was held without any price yet. */
  readonly unpriced: Uint32Array;
  /** Days on which at least one held asset was valued at a price carried forward. */
  readonly carriedDays: number;
  /** Days without a value. */
  readonly unknownDays: number;
}

/** Values every day at the price of that day, or the last one before. */
export function valueSeries(input: SeriesInput): ValueSeries {
  const { days, pricesBefore } = input;
  const assets = pricesBefore.length;
  const values = new Float64Array(days);
  const prices = Float64Array.from(input.prices);
  const carried = new Uint32Array(assets);
  const unpriced = new Uint32Array(assets);
  const isCarried = new Uint8Array(days);
  for (let asset = 0; asset < assets; asset++) {
    let last = pricesBefore[asset] ?? NaN;
    for (let day = 0; day < days; day++) {
      const at = asset * days + day;
      const own = prices[at] ?? NaN;
      const isMissing = Number.isNaN(own);
      if (!isMissing) last = own;
      prices[at] = last;
      const quantity = input.quantities[at] ?? 0;
      if (quantity === 0) continue;
      values[day] = (values[day] ?? 0) + quantity * last;
      if (!isMissing) continue;
      const tally = Number.isNaN(last) ? unpriced : carried;
      tally[asset] = (tally[asset] ?? 0) + 1;
      isCarried[day] = 1;
    }
  }
  const unknownDays = values.reduce((count, value) => count + Number(Number.isNaN(value)), 0);
  const carriedDays = isCarried.reduce(
    (count, each, day) => count + (Number.isNaN(values[day] ?? 0) ? 0 : each),
    0,
  );
  return { values, prices, carried, unpriced, carriedDays, unknownDays };
}
