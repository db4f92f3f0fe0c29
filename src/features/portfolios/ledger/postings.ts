import type { Amount } from './amount.ts';
import type { Fee, Leg, Ordered, Transaction } from './transaction.ts';
import { compareTransactions } from './transaction.ts';

/** What a posting does to the lots of its asset. */
export type PostingKind = 'acquire' | 'transfer_in' | 'dispose' | 'transfer_out';

/** What a transaction does to one asset. The lots of an asset depend on its postings alone. */
export interface Posting {
  readonly transaction: Ordered;
  readonly asset: string;
  readonly kind: PostingKind;
  /** Whether it is the fee of its transaction. */
  readonly isFee: boolean;
  readonly quantity: Amount;
  /** Cost basis that comes in, or proceeds after fees (less than zero when the fee was higher); 0 of a transfer out. */
  readonly value: Amount;
}

/**
 * The postings of a transaction, in their order: what comes in, what goes out, what the fee takes. A fee adds to the basis of
 * a purchase or swap and lessens the proceeds of a sale; with other types it is only a disposal of its asset, if it has one.
 */
export function postingsOf(transaction: Transaction): Posting[] {
  const { type, received, given, value, fee } = transaction;
  const cost = fee?.value ?? 0n;
  const postings: Posting[] = [];
  if (received !== null) {
    const basis = type === 'buy' || type === 'swap' ? value + cost : value;
    postings.push(
      posting(transaction, received, { kind: type === 'transfer_in' ? type : 'acquire', value: basis }),
    );
  }
  if (given !== null) {
    if (type === 'transfer_out') postings.push(posting(transaction, given, { kind: type, value: 0n }));
    else
      postings.push(
        posting(transaction, given, { kind: 'dispose', value: type === 'sell' ? value - cost : value }),
      );
  }
  if (fee !== null && fee.asset !== null) postings.push(feePosting(transaction, fee, fee.asset));
  return postings;
}

/** The order of postings of one asset: that of their transactions; within one, a fee comes last. */
export function comparePostings(a: Posting, b: Posting): number {
  return compareTransactions(a.transaction, b.transaction) || Number(a.isFee) - Number(b.isFee);
}

function posting(transaction: Transaction, leg: Leg, rest: Pick<Posting, 'kind' | 'value'>): Posting {
  return { transaction, asset: leg.asset, quantity: leg.quantity, isFee: false, ...rest };
}

function feePosting(transaction: Transaction, { quantity, value }: Fee, asset: string): Posting {
  return { transaction, asset, quantity, isFee: true, kind: 'dispose', value };
}
