import { transactionTypes, type TransactionType } from '../../../domain/bookkeeping.ts';
import { amountOf, type Amount } from './amount.ts';
import { compareTransactions, rankOf, type Ordered, type Transaction } from './transaction.ts';

/** The effect of a posting on the lots of its asset. */
export type PostingKind = 'acquire' | 'transfer_in' | 'dispose' | 'transfer_out';

/** The effect of a transaction on one asset. The lots of an asset depend only on its postings. */
export interface Posting {
  readonly transaction: Ordered;
  readonly asset: string;
  readonly kind: PostingKind;
  /** Whether it is the fee of its transaction. */
  readonly isFee: boolean;
  readonly quantity: Amount;
  /** Cost basis that comes in, or proceeds after fees (negative when the fee was higher); 0 for a transfer out. */
  readonly value: Amount;
}

/**
 * The postings of a transaction, in their order: what comes in, what goes out, what the fee takes. A fee adds to the basis of a
 * purchase or swap and reduces the proceeds of a sale; with other types it is only a disposal of its asset, if it has one.
 */
export function postingsOf(transaction: Transaction): Posting[] {
  const { type, received, sent, value, fee } = transaction;
  const cost = fee?.value ?? 0n;
  const postings: Posting[] = [];
  if (received !== null) {
    const kind = type === 'transfer_in' ? type : 'acquire';
    const basis = type === 'buy' || type === 'swap' ? value + cost : value;
    const { asset, quantity } = received;
    postings.push({ transaction, asset, kind, isFee: false, quantity, value: basis });
  }
  if (sent !== null) {
    const kind = type === 'transfer_out' ? type : 'dispose';
    // A transfer out removes its basis without a gain.
    const proceeds = type === 'transfer_out' ? 0n : type === 'sell' ? value - cost : value;
    const { asset, quantity } = sent;
    postings.push({ transaction, asset, kind, isFee: false, quantity, value: proceeds });
  }
  if (fee !== null && fee.asset !== null) {
    const { asset, quantity } = fee;
    postings.push({ transaction, asset, kind: 'dispose', isFee: true, quantity, value: fee.value });
  }
  return postings;
}

/** Compares postings of one asset: by the order of their transactions; within one, a fee comes last. */
export function comparePostings(a: Posting, b: Posting): number {
  return compareTransactions(a.transaction, b.transaction) || Number(a.isFee) - Number(b.isFee);
}

const typesByRank = new Map<number, TransactionType>(transactionTypes.map((type) => [rankOf[type], type]));

/**
 * Reads the postings of one asset from text, in their order: one line each, as read from storage, because text can go from
 * there into a thread without becoming objects on the way. A line has these fields, separated by blanks: time in milliseconds,
 * rank of the type, sequence, id of the transaction, 1 for a fee and else 0, kind, quantity, value.
 * @throws {Error} when a rank belongs to no type.
 */
export function readPostings(asset: string, text: string): Posting[] {
  if (text === '') return [];
  return text.split('\n').map((line) => {
    const [at, rank, sequence, id = '', isFee, kind, quantity = '', value = ''] = line.split(' ');
    const type = typesByRank.get(Number(rank));
    if (type === undefined) throw new Error(`no transaction type has the rank ${String(rank)}`);
    return {
      transaction: { id, type, at: Number(at), sequence: Number(sequence) },
      asset,
      kind: kind as PostingKind,
      isFee: isFee === '1',
      quantity: amountOf(quantity),
      value: amountOf(value),
    };
  });
}
