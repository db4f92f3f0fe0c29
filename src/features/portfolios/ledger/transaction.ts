import type { TransactionType } from '../../../domain/bookkeeping.ts';
import type { Amount } from './amount.ts';

/** One side of a transaction. */
export interface Leg {
  readonly asset: string;
  /** More than zero. */
  readonly quantity: Amount;
}

/** What a transaction cost besides. */
export interface Fee {
  /** Null when it was paid in cash. */
  readonly asset: string | null;
  /** Quantity of the asset; of a fee in cash the same as its value. More than zero. */
  readonly quantity: Amount;
  /** Worth in the base currency at that moment. */
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
  /** Place among transactions of the same moment and type, as their source told it; 0 when it told none. */
  readonly sequence: number;
  readonly received: Leg | null;
  readonly sent: Leg | null;
  readonly value: Amount;
  readonly fee: Fee | null;
}

/** What comes first at the same moment: what comes in before what goes out, so that a sale finds what it sells. */
export const rankOf: Readonly<Record<TransactionType, number>> = {
  transfer_in: 0,
  buy: 1,
  reward: 2,
  swap: 3,
  sell: 4,
  fee: 5,
  transfer_out: 6,
};

/** What decides the place of a transaction in the books. */
export type Ordered = Pick<Transaction, 'at' | 'type' | 'sequence' | 'id'>;

/**
 * The total order of the books: by time, at the same moment by type (in before out), then by sequence, then by id, character
 * code by character code. It depends on nothing but the transactions, so that books come out alike however they were kept.
 */
export function compareTransactions(a: Ordered, b: Ordered): number {
  return a.at - b.at || rankOf[a.type] - rankOf[b.type] || a.sequence - b.sequence || compareText(a.id, b.id);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
