/** Distances between the points of a price history, as CoinGecko uses them. */
export const granularities = ['5m', '1h', '1d'] as const;
export type Granularity = (typeof granularities)[number];

/** Length of a granularity in milliseconds. */
export const granularityMs: Readonly<Record<Granularity, number>> = {
  '5m': 300_000,
  '1h': 3_600_000,
  '1d': 86_400_000,
};

/** A span of time at one granularity. */
export interface HistorySpan {
  /** First moment (ms since the epoch), included. */
  readonly from: number;
  /** Last moment, included. */
  readonly to: number;
  readonly granularity: Granularity;
}

/** An observed price of an asset in a quote currency, with the figures sent along. */
export interface HistoryPoint {
  /** Moment of the observation, in milliseconds since the Unix epoch. */
  readonly at: number;
  /** Finite and not negative. */
  readonly price: number;
  readonly marketCap: number | null;
  /** Volume of the 24 hours before. */
  readonly volume: number | null;
}
