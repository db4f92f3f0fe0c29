import { mulDiv, type Amount } from './amount.ts';
import type { Posting } from './postings.ts';

/** An open lot: what is left of an acquisition, or a pool of many. */
export interface Lot {
  /** Id of the transaction that acquired it; null for a pool. */
  readonly transaction: string | null;
  /** Milliseconds; null for a pool. */
  readonly acquiredAt: number | null;
  readonly quantity: Amount;
  readonly basis: Amount;
}

/** The rule by which a disposal was matched. */
export type MatchRule = 'lot' | 'average' | 'same_day' | 'thirty_days' | 'pool';

/** What one disposal or transfer out took out of one lot: a row of the report of realised gains. */
export interface LotMatch {
  readonly kind: 'disposal' | 'transfer';
  /** The transaction that took it. */
  readonly transaction: string;
  readonly isFee: boolean;
  /** When it was taken, in milliseconds. */
  readonly at: number;
  /** The acquisition it was taken from; null for a pool, or for all acquisitions of a day together. */
  readonly lot: string | null;
  /** When that was acquired, in milliseconds; for a day, its first acquisition; null for a pool. */
  readonly acquiredAt: number | null;
  readonly rule: MatchRule;
  readonly quantity: Amount;
  /** Share of the proceeds after fees; 0 for a transfer. Gain = proceeds − basis. */
  readonly proceeds: Amount;
  readonly basis: Amount;
}

/**
 * The lots of one asset under one method. Takes postings in their order.
 * @template S its state: immutable values that share unchanged parts with earlier states.
 */
export interface AssetBook<S = unknown> {
  /** The quantity held. Never negative. */
  readonly holding: Amount;
  /**
   * Books a posting and adds to `settled` the matches that can no longer change.
   * @throws {OverdrawnError} when more goes out than is held; then nothing has changed.
   */
  post(posting: Posting, settled: LotMatch[]): void;
  /** Open lots, and the matches that later acquisitions may still change, as they are if none comes. */
  snapshot(): { readonly lots: readonly Lot[]; readonly provisional: readonly LotMatch[] };
  state(): S;
}

/** A quantity with its cost basis or proceeds. */
export interface LotPool {
  readonly quantity: Amount;
  readonly worth: Amount;
}

/** An empty pile. */
export const emptyLotPool: LotPool = { quantity: 0n, worth: 0n };

/** The sum of both. */
export function sumOfPools(a: LotPool, b: LotPool): LotPool {
  return { quantity: a.quantity + b.quantity, worth: a.worth + b.worth };
}

/**
 * Splits off `quantity`: `taken` has it and its share of the worth, rounded to 18 digits; `rest` has what is left. Taking
 * everything takes the whole worth, so nothing is lost in rounding.
 */
export function divide(
  lotPool: LotPool,
  quantity: Amount,
): { readonly taken: LotPool; readonly rest: LotPool } {
  if (quantity === lotPool.quantity) return { taken: lotPool, rest: emptyLotPool };
  const worth = mulDiv(lotPool.worth, quantity, lotPool.quantity);
  return {
    taken: { quantity, worth },
    rest: { quantity: lotPool.quantity - quantity, worth: lotPool.worth - worth },
  };
}
