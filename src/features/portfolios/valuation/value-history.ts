/**
 * The exact value of a portfolio at the end of each day: quantities held at the price of the day. A day without a price carries
 * the last one forward and is counted; a day with a holding that has never had a price has no value. The performance figures
 * use doubles and the same rules (performance/tables.ts); a history is money.
 *
 * Assets are added one after another, so that a caller that adds many can let other work run in between.
 */
import type { Amount } from '../ledger/amount.ts';
import { valueAt } from '../ledger/price.ts';

/** Numbers by day; days ascend and are distinct. */
export interface ByDay<T> {
  readonly days: readonly number[];
  readonly values: readonly T[];
}

/** Transfers of an asset in one direction, which are flows at the market value of their day. */
export interface TransferByDay extends ByDay<Amount> {
  readonly direction: 'in' | 'out';
  /** Fees in cash, by the same days: they add to incoming and reduce outgoing amounts. */
  readonly fees: readonly Amount[];
  readonly counts: readonly number[];
}

/** An asset with all its data. */
export interface AssetHistory {
  readonly assetId: string;
  /** Incoming less outgoing quantities, from the first transaction on. */
  readonly changes: ByDay<Amount>;
  readonly prices: ByDay<number>;
  /** The last price before the first day; undefined without one. */
  readonly priceBefore: number | undefined;
  readonly transfers: readonly TransferByDay[];
}

/** A day of a history. */
export interface HistoryDay {
  readonly day: number;
  /** Null when a held asset has never had a price. */
  readonly value: Amount | null;
  readonly inflow: Amount;
  readonly outflow: Amount;
  /** Assets held at a price carried forward. */
  readonly carried: number;
}

/** The resulting history. */
export interface ValueHistory {
  readonly points: readonly HistoryDay[];
  readonly carriedDays: number;
  readonly unknownDays: number;
  /** Transfers that are not counted, because no price of their day is known. */
  readonly unvaluedTransfers: number;
  /** Days on which an asset was held without a price of that day: at the last price before, or without any yet. */
  readonly gaps: readonly { readonly assetId: string; readonly carried: number; readonly unpriced: number }[];
}

/** Gathers a {@link ValueHistory}. */
export class HistorySums {
  readonly #span: ConstructorParameters<typeof HistorySums>[0];
  readonly #values: Amount[];
  readonly #inflows: Amount[];
  readonly #outflows: Amount[];
  readonly #carried: Uint32Array;
  readonly #unpriced: Uint32Array;
  readonly #gaps: ValueHistory['gaps'][number][] = [];
  #unvaluedTransfers = 0;

  /** `firstDay` is the number of the first day. */
  constructor(span: { readonly firstDay: number; readonly days: number }) {
    this.#span = span;
    const zeros = (): Amount[] => Array.from({ length: span.days }, () => 0n);
    this.#values = zeros();
    this.#inflows = zeros();
    this.#outflows = zeros();
    this.#carried = new Uint32Array(span.days);
    this.#unpriced = new Uint32Array(span.days);
  }

  /** Adds flows in cash. */
  addCash(inflows: ByDay<Amount>, outflows: ByDay<Amount>): void {
    inflows.days.forEach((day, entry) => this.#flow(day, inflows.values[entry] ?? 0n));
    outflows.days.forEach((day, entry) => this.#flow(day, -(outflows.values[entry] ?? 0n)));
  }

  /** Adds the holdings of an asset and its transfers. */
  addAsset(asset: AssetHistory): void {
    const { firstDay, days } = this.#span;
    const change = cursor(asset.changes);
    const own = cursor(asset.prices);
    const moves = asset.transfers.map((transfer) => ({ transfer, at: cursor(transfer) }));
    let last = asset.priceBefore;
    let held = 0n;
    let carried = 0;
    let unpriced = 0;
    for (let index = 0; index < days; index++) {
      const day = firstDay + index;
      for (const by of change.upTo(day)) held += asset.changes.values[by] ?? 0n;
      const price = own.upTo(day).at(-1);
      const isOwn = price !== undefined && asset.prices.days[price] === day;
      if (price !== undefined) last = asset.prices.values[price];
      for (const { transfer, at } of moves) this.#addTransfers(transfer, at.upTo(day), last);
      if (held === 0n) continue;
      if (last === undefined) unpriced += 1;
      else if (!isOwn) carried += 1;
      this.#addValue(index, { held, price: last, isOwn });
    }
    if (carried > 0 || unpriced > 0) this.#gaps.push({ assetId: asset.assetId, carried, unpriced });
  }

  /** What has been added so far. */
  history(): ValueHistory {
    const points = this.#values.map((value, index) => ({
      day: this.#span.firstDay + index,
      value: this.#unpriced[index] === 0 ? value : null,
      inflow: this.#inflows[index] ?? 0n,
      outflow: this.#outflows[index] ?? 0n,
      carried: this.#carried[index] ?? 0,
    }));
    return {
      points,
      carriedDays: points.filter(({ value, carried }) => value !== null && carried > 0).length,
      unknownDays: points.filter(({ value }) => value === null).length,
      unvaluedTransfers: this.#unvaluedTransfers,
      gaps: this.#gaps,
    };
  }

  #addValue(
    index: number,
    at: { readonly held: Amount; readonly price: number | undefined; readonly isOwn: boolean },
  ): void {
    const { held, price, isOwn } = at;
    if (price === undefined) {
      this.#unpriced[index] = (this.#unpriced[index] ?? 0) + 1;
      return;
    }
    this.#values[index] = (this.#values[index] ?? 0n) + valueAt(held, price);
    if (!isOwn) this.#carried[index] = (this.#carried[index] ?? 0) + 1;
  }

  #addTransfers(transfer: TransferByDay, entries: readonly number[], price: number | undefined): void {
    for (const entry of entries) {
      if (price === undefined) {
        this.#unvaluedTransfers += transfer.counts[entry] ?? 0;
        continue;
      }
      const worth = valueAt(transfer.values[entry] ?? 0n, price);
      const fee = transfer.fees[entry] ?? 0n;
      this.#flow(transfer.days[entry] ?? NaN, transfer.direction === 'in' ? worth + fee : fee - worth);
    }
  }

  /** Positive for incoming, negative for outgoing. */
  #flow(day: number, amount: Amount): void {
    const index = day - this.#span.firstDay;
    if (index < 0 || index >= this.#span.days) return;
    const sums = amount > 0n ? this.#inflows : this.#outflows;
    sums[index] = (sums[index] ?? 0n) + (amount > 0n ? amount : -amount);
  }
}

/** Iterates over days once, in order. */
function cursor({ days }: ByDay<unknown>): { upTo: (day: number) => readonly number[] } {
  let next = 0;
  return {
    /** Entries up to a day that have not been returned yet. */
    upTo(day) {
      if ((days[next] ?? Infinity) > day) return none;
      const entries: number[] = [];
      while ((days[next] ?? Infinity) <= day) entries.push(next++);
      return entries;
    },
  };
}

const none: readonly number[] = [];
