/**
 * Postings of one asset as text, a line each, as they are read from storage: text goes from there into a thread without
 * becoming objects on the way. A line is, with a blank between two: time in milliseconds, rank of the type, sequence, id of
 * the transaction, 1 of a fee and else 0, kind, quantity, value.
 */
import { transactionTypes, type TransactionType } from '../../../domain/bookkeeping.ts';
import { amountOf } from './amount.ts';
import type { Posting, PostingKind } from './postings.ts';
import { rankOf } from './transaction.ts';

const typesByRank = new Map<number, TransactionType>(transactionTypes.map((type) => [rankOf[type], type]));

/** The postings in a text, in its order. */
export function readPostings(asset: string, text: string): Posting[] {
  return text === '' ? [] : text.split('\n').map((line) => readPosting(asset, line));
}

/**
 * The posting in a line.
 * @throws {Error} when its rank is that of no type.
 */
function readPosting(asset: string, line: string): Posting {
  const [at, rank, sequence, id = '', isFee, kind, quantity = '', value = ''] = line.split(' ');
  const type = typesByRank.get(Number(rank));
  if (type === undefined) throw new Error(`no type of transactions has the rank ${String(rank)}`);
  return {
    transaction: { id, type, at: Number(at), sequence: Number(sequence) },
    asset,
    kind: kind as PostingKind,
    isFee: isFee === '1',
    quantity: amountOf(quantity),
    value: amountOf(value),
  };
}
