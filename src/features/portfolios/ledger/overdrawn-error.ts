import { ValidationError } from '../../../domain/errors.ts';
import { formatAmount, type Amount } from './amount.ts';
import type { Posting } from './postings.ts';

/** 422: more of an asset goes out than is held at that time. */
export class OverdrawnError extends ValidationError {
  /** Id of the transaction that takes too much. */
  readonly transaction: string;
  readonly asset: string;
  /** The quantity held then. */
  readonly holding: Amount;
  /** The quantity to be taken. */
  readonly wanted: Amount;

  constructor({ transaction, asset, quantity, isFee }: Posting, holding: Amount) {
    const message = `Transaction ${transaction.id} takes ${formatAmount(quantity)} ${asset}, but only ${formatAmount(holding)} are held at ${new Date(transaction.at).toISOString()}`;
    super(message, [
      {
        field: isFee ? 'fee.quantity' : 'sent.quantity',
        message: `must not be more than the holding of ${formatAmount(holding)}`,
      },
    ]);
    this.transaction = transaction.id;
    this.asset = asset;
    this.holding = holding;
    this.wanted = quantity;
  }
}
