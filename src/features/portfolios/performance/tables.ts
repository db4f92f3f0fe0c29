/**
 * The input of the figures of a portfolio, as typed arrays that can be transferred to a thread without a copy. Tables are asset
 * by asset: entry `asset * days + day`; `assets` maps indexes to assets.
 */
import type { PerformanceRange } from '../../../domain/performance-range.ts';

/** Days of a range. */
export interface PerformanceTables {
  readonly range: PerformanceRange;
  /** Number of the first day of the range, and how many days it has. */
  readonly firstDay: number;
  readonly days: number;
  /** Whether the portfolio had a transaction before the range: then the range starts with the value of the day before. */
  readonly hasBefore: boolean;
  readonly assets: readonly string[];
  /** Quantity held at the end of each day, and at the end of the day before the first. */
  readonly quantities: Float64Array;
  readonly quantitiesBefore: Float64Array;
  /** Observed price of each day; NaN where there is none. */
  readonly prices: Float64Array;
  /** The last price before the range, of any age, and that of the day before; NaN where there is none. */
  readonly pricesBefore: Float64Array;
  readonly observedBefore: Float64Array;
  /** External flows in cash by day. */
  readonly inflows: Float64Array;
  readonly outflows: Float64Array;
  /** Transfers of the range, one entry for each asset, day and direction; entries with the same index belong together. */
  readonly transfers: {
    readonly assets: Uint32Array;
    /** Counted from the first day of the range. */
    readonly days: Uint32Array;
    /** Positive for incoming, negative for outgoing. */
    readonly quantities: Float64Array;
    /** Fees in cash. */
    readonly fees: Float64Array;
    /** Number of transfers. */
    readonly counts: Uint32Array;
  };
  /** Observed prices of the benchmark. */
  readonly benchmark: Float64Array;
  /** Its last price before the range; NaN when there is none. */
  readonly benchmarkBefore: number;
  /** Annual, 0.02 is 2 %. */
  readonly riskFreeRate: number;
}

/** All buffers that can be transferred with tables. */
export function buffersOf(tables: PerformanceTables): ArrayBuffer[] {
  const { transfers, ...rest } = tables;
  const parts: readonly unknown[] = [
    ...Object.values<unknown>(rest),
    ...Object.values<unknown>({ ...transfers }),
  ];
  const buffers = parts.flatMap((each) =>
    ArrayBuffer.isView(each) && each.buffer instanceof ArrayBuffer ? [each.buffer] : [],
  );
  return [...new Set(buffers)];
}

/** Size of tables: their computation time grows with it. */
export function cellsOf({ assets, days }: Pick<PerformanceTables, 'assets' | 'days'>): number {
  return assets.length * days;
}

/**
 * Values every day at the price of that day, or the last one before. A day without a price carries the last one forward, and is
 * counted. A day with a holding that has never had a price has no value (NaN): unknown is not 0.
 */
export function valueSeries({
  days,
  quantities,
  pricesBefore,
  ...observed
}: Pick<PerformanceTables, 'days' | 'quantities' | 'prices' | 'pricesBefore'>) {
  const assets = pricesBefore.length;
  const values = new Float64Array(days);
  const prices = Float64Array.from(observed.prices);
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
      const quantity = quantities[at] ?? 0;
      if (quantity === 0) continue;
      values[day] = (values[day] ?? 0) + quantity * last;
      if (!isMissing) continue;
      const missing = Number.isNaN(last) ? unpriced : carried;
      missing[asset] = (missing[asset] ?? 0) + 1;
      isCarried[day] = 1;
    }
  }
  const unknownDays = values.reduce((count, value) => count + Number(Number.isNaN(value)), 0);
  const carriedDays = isCarried.reduce(
    (count, each, day) => count + (Number.isNaN(values[day] ?? 0) ? 0 : each),
    0,
  );
  return {
    /** Value at the end of each day; NaN where a held asset has no price yet. */
    values,
    /** Prices with the missing ones carried forward; NaN before the first one. */
    prices,
    /** Days by asset on which it was held at a price carried forward. */
    carried,
    /** Days by asset on which it was held without any price yet. */
    unpriced,
    /** Days on which at least one held asset was valued at a price carried forward. */
    carriedDays,
    /** Days without a value. */
    unknownDays,
  };
}
