/** One row of `/coins/list`. Real lists hold an empty id, symbols shared by several assets and mixed case. */
export interface Listing {
  readonly id: string;
  readonly symbol: string;
  readonly name: string;
}

/** What the market knows of one asset in one quote currency at one moment; null where a real source has nothing. */
export interface Observation {
  readonly price: number | null;
  readonly marketCap: number | null;
  readonly volume: number | null;
  readonly priceDayAgo: number | null;
  readonly marketCapDayAgo: number | null;
  readonly circulatingSupply: number | null;
  readonly maxSupply: number | null;
  /** When this value was observed, in milliseconds since the epoch; years ago in a replay. Null without a price. */
  readonly asOf: number | null;
}

/** What was observed of an asset in one currency at one moment. */
export interface Sample {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly price: number;
  readonly marketCap: number | null;
  readonly volume: number | null;
}

/** Where the market's values come from: the seeded walk, or real history. No method looks past the present. */
export interface MarketSource {
  readonly kind: 'simulated' | 'replay';
  /** Replayed prices are real observations, so they are only rounded when the caller names a precision. */
  readonly exact: boolean;
  /** Rows of `/coins/list`; also those that have no price. */
  listings(): readonly Listing[];
  /** The row of one asset that exists now, priced or not. */
  listing(id: string): Listing | undefined;
  /** Ids of the priced assets that exist now, highest market cap first, those without a cap last. */
  ranked(): readonly string[];
  /** 1 for the highest market cap; null for an asset without one. */
  rank(id: string): number | null;
  /** The asset in one currency now; undefined when the currency or the asset is not known. Every id must be a listed one. */
  observe(id: string, currency: string): Observation | undefined;
  /** Highest and lowest price of the last 24 hours; null where it was not observed. */
  dayRange(id: string, currency: string): { readonly high: number; readonly low: number } | null;
  /** The price `agoMs` milliseconds before now; null when there was none. */
  priceAgo(id: string, currency: string, agoMs: number): number | null;
  /**
   * Observations within a range of the market's time, both ends included; oldest first, none after now; empty for an
   * unknown asset or currency. `stepMs` is the distance between two samples where the source can choose it: they lie on multiples.
   */
  history(
    id: string,
    currency: string,
    range: { readonly from: number; readonly to: number; readonly stepMs: number },
  ): readonly Sample[];
  /** The market's own time, in milliseconds since the epoch. */
  now(): number;
}

/** What is known of a listed asset without a price: nothing. */
export const unpricedObservation: Observation = {
  price: null,
  marketCap: null,
  volume: null,
  priceDayAgo: null,
  marketCapDayAgo: null,
  circulatingSupply: null,
  maxSupply: null,
  asOf: null,
};

/** A number that stays with an id, where a real source has one from its database. */
export function numberOf(id: string): number {
  let hash = 7;
  for (const letter of id) hash = (Math.imul(hash, 31) + (letter.codePointAt(0) ?? 0)) >>> 0;
  return (hash % 9_000_000) + 1;
}
