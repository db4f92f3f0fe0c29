import type { TransactionType } from '../../../domain/bookkeeping.ts';
import type { Amount } from './amount.ts';

/** One side of a transaction. */
export interface Leg {
  readonly asset: string;
  /** More than zero. */
  readonly quantity: Amount;
}

/** The fee of a transaction. */
export interface Fee {
  /** Null when it was paid in cash. */
  readonly asset: string | null;
  /** Quantity of the asset; for a fee in cash the same as its value. More than zero. */
  readonly quantity: Amount;
  /** Value in the base currency at that time. */
  readonly value: Amount;
}

/**
 * A transaction as the books count it: valued in the base currency of its portfolio. Cash itself is not tracked.
 *
 * | type           | received | sent | value                                 | its fee                       |
 * | -------------- | -------- | ----- | ------------------------------------- | ----------------------------- |
 * | `buy`          | asset    |       | cash paid, without the fee            | adds to the cost basis        |
 * | `sell`         |          | asset | cash received, before the fee         | lessens the proceeds          |
 * | `swap`         | asset    | asset | market value of what changed hands    | adds to the basis of received |
 * | `transfer_in`  | asset    |       | cost basis that comes with it         | stands alone                  |
 * | `transfer_out` |          | asset | market value (the basis just leaves)  | stands alone                  |
 * | `reward`       | asset    |       | income: market value, then its basis  | stands alone                  |
 * | `fee`          |          | asset | market value of the asset spent       | none                          |
 *
 * A fee in an asset is besides a disposal of that asset at market value, whatever the transaction is.
 */
export interface Transaction {
  readonly id: string;
  readonly type: TransactionType;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** Order among transactions of the same time and type, from their source; 0 when it gave none. */
  readonly sequence: number;
  readonly received: Leg | null;
  readonly sent: Leg | null;
  readonly value: Amount;
  readonly fee: Fee | null;
}

/** Order of types at the same time: what comes in before what goes out, so that a sale finds what it sells. */
export const rankOf: Readonly<Record<TransactionType, number>> = {
  transfer_in: 0,
  buy: 1,
  reward: 2,
  swap: 3,
  sell: 4,
  fee: 5,
  transfer_out: 6,
};

/** The fields that decide the place of a transaction in the books. */
export type Ordered = Pick<Transaction, 'at' | 'type' | 'sequence' | 'id'>;

/**
 * The total order of the books: by time, at the same time by type (in before out), then by sequence, then by id, character code
 * by character code. It depends only on the transactions, so that the books are the same however they were computed.
 */
export function compareTransactions(a: Ordered, b: Ordered): number {
  return a.at - b.at || rankOf[a.type] - rankOf[b.type] || a.sequence - b.sequence || compareText(a.id, b.id);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
