import { formatAmount } from './amount.ts';
import type { Fee, Leg, Transaction } from './transaction.ts';

/** A transaction with additional data from its owner and its source. */
export interface RecordedTransaction extends Transaction {
  readonly note: string | null;
  /** The value was not stated, and is the market value of that time. */
  readonly isMarketValue: boolean;
  /** The same for the value of the fee; false without a fee. */
  readonly isMarketFee: boolean;
  /** The import that created it. */
  readonly importId: string | null;
  /** Identifies the row of the report that it came from, permanently. */
  readonly fingerprint: string | null;
}

/** A transaction as it is stored. */
export interface StoredTransaction extends RecordedTransaction {
  /** Rises with every replacement; the ETag is derived from it. */
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The content of a transaction, with the field names of the API: the part of its JSON that the audit trail keeps. */
export function contentOf(transaction: RecordedTransaction): Record<string, unknown> {
  const { type, at, sequence, received, sent, value, isMarketValue, note, importId } = transaction;
  return {
    type,
    executed_at: new Date(at).toISOString(),
    received: legJson(received),
    sent: legJson(sent),
    value: formatAmount(value),
    value_source: sourceOf(isMarketValue),
    fee: feeJson(transaction),
    note,
    sequence,
    import_id: importId,
  };
}

function legJson(leg: Leg | null): unknown {
  return leg === null ? null : { asset: leg.asset, quantity: formatAmount(leg.quantity) };
}

/** A fee in cash has only a value. */
function feeJson({ fee, isMarketFee }: RecordedTransaction): unknown {
  if (fee === null) return null;
  return {
    asset: fee.asset,
    quantity: quantityOf(fee),
    value: formatAmount(fee.value),
    value_source: sourceOf(isMarketFee),
  };
}

function quantityOf({ asset, quantity }: Fee): string | null {
  return asset === null ? null : formatAmount(quantity);
}

function sourceOf(isMarket: boolean): 'stated' | 'market' {
  return isMarket ? 'market' : 'stated';
}
