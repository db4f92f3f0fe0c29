/**
 * Observations of a price in one interval. Open, market capitalisation and volume are those of the first observation,
 * close is that of the last; a candle contains only observed values.
 */
export interface Candle {
  readonly assetId: string;
  /** Quote currency in lower case. */
  readonly currency: string;
  /** Start of the interval, in milliseconds since the Unix epoch. */
  readonly openTime: number;
  /** Moment of the first observation. */
  readonly firstAt: number;
  /** Moment of the last observation. */
  readonly lastAt: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly marketCap: number | null;
  /** Volume of the 24 hours before the first observation. */
  readonly volume: number | null;
  /** Number of different observations; a lower bound where two processes observed at the same time. */
  readonly observations: number;
  /** Sources of the prices, separated by commas. */
  readonly source: string;
}

/** One observed price, as part of a candle. */
export interface Observation {
  readonly assetId: string;
  readonly currency: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** Finite and not negative. */
  readonly price: number;
  readonly marketCap: number | null;
  readonly volume: number | null;
  readonly source: string;
}

/** Start of the interval of `at`; days start at 00:00 UTC. */
function openTimeOf(at: number, lengthMs: number): number {
  return Math.floor(at / lengthMs) * lengthMs;
}

/** The candle of a single observation. */
export function candleOf(observation: Observation, lengthMs: number): Candle {
  const { at, price, ...rest } = observation;
  return {
    ...rest,
    openTime: openTimeOf(at, lengthMs),
    firstAt: at,
    lastAt: at,
    open: price,
    high: price,
    low: price,
    close: price,
    observations: 1,
  };
}

/** Joins two parts of the same candle. Parts that overlap in time may hold the same observations, which count once. */
export function mergeCandles(left: Candle, right: Candle): Candle {
  const [first, second] = left.firstAt <= right.firstAt ? [left, right] : [right, left];
  const last = left.lastAt >= right.lastAt ? left : right;
  const apart = second.firstAt > first.lastAt;
  return {
    ...first,
    lastAt: last.lastAt,
    high: Math.max(left.high, right.high),
    low: Math.min(left.low, right.low),
    close: last.close,
    observations: apart
      ? left.observations + right.observations
      : Math.max(left.observations, right.observations),
    source: first.source.split(',').includes(second.source)
      ? first.source
      : `${first.source},${second.source}`,
  };
}
