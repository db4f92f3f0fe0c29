import { amountOf, formatAmount, type Amount } from '../ledger/amount.ts';
import type { Posting } from '../ledger/postings.ts';
import type { RecordedTransaction, StoredTransaction } from '../ledger/recorded-transaction.ts';
import { rankOf, type Fee, type Leg, type Transaction } from '../ledger/transaction.ts';
import type { TransactionRow } from '../../../../db/models/transaction.ts';

/** The columns of a transaction's row that the books need. */
export type TransactionColumns = Pick<
  TransactionRow,
  | 'id'
  | 'type'
  | 'executed_at'
  | 'sequence'
  | 'received_asset'
  | 'received_quantity'
  | 'given_asset'
  | 'given_quantity'
  | 'value'
  | 'fee_asset'
  | 'fee_quantity'
  | 'fee_value'
>;

/** The columns of {@link TransactionColumns}. */
export const transactionColumns = `id, type, executed_at, sequence, received_asset, received_quantity, given_asset,
  given_quantity, value, fee_asset, fee_quantity, fee_value`;

/** Converts a row to the type that the books use. */
export function toTransaction(row: TransactionColumns): Transaction {
  return {
    id: row.id,
    type: row.type,
    at: row.executed_at.getTime(),
    sequence: row.sequence,
    received: legOf(row.received_asset, row.received_quantity),
    sent: legOf(row.given_asset, row.given_quantity),
    value: amountOf(row.value),
    fee: feeOf(row),
  };
}

/** Converts a whole row. */
export function toStored(row: TransactionRow): StoredTransaction {
  return {
    ...toTransaction(row),
    note: row.note,
    isMarketValue: row.is_market_value,
    isMarketFee: row.is_market_fee,
    importId: row.import_id,
    fingerprint: row.fingerprint,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function legOf(asset: string | null, quantity: string | null): Leg | null {
  return asset === null || quantity === null ? null : { asset, quantity: amountOf(quantity) };
}

function feeOf({
  fee_asset: asset,
  fee_quantity: quantity,
  fee_value: value,
}: TransactionColumns): Fee | null {
  if (quantity === null || value === null) return null;
  return { asset, quantity: amountOf(quantity), value: amountOf(value) };
}

/** Parameters of {@link insertTransactionsSql}, after the portfolio (twice): one array for each column. */
export function transactionArrays(
  transactions: readonly RecordedTransaction[],
  earlier: ReadonlyMap<string, Pick<StoredTransaction, 'version' | 'createdAt'>>,
): readonly (readonly unknown[])[] {
  const column = <T>(of: (each: RecordedTransaction) => T): T[] => transactions.map(of);
  const optional = (amount: Amount | undefined): string | null =>
    amount === undefined ? null : formatAmount(amount);
  return [
    column(({ id }) => id),
    column(({ type }) => type),
    column(({ at }) => new Date(at).toISOString()),
    column(({ sequence }) => sequence),
    column(({ received }) => received?.asset ?? null),
    column(({ received }) => optional(received?.quantity)),
    column(({ sent }) => sent?.asset ?? null),
    column(({ sent }) => optional(sent?.quantity)),
    column(({ value }) => formatAmount(value)),
    column(({ isMarketValue }) => isMarketValue),
    column(({ fee }) => fee?.asset ?? null),
    column(({ fee }) => optional(fee?.quantity)),
    column(({ fee }) => optional(fee?.value)),
    column(({ isMarketFee }) => isMarketFee),
    column(({ note }) => note),
    column(({ importId }) => importId),
    column(({ fingerprint }) => fingerprint),
    column(({ id }) => (earlier.get(id)?.version ?? 0) + 1),
    column(({ id }) => earlier.get(id)?.createdAt.toISOString() ?? null),
  ];
}

/**
 * Rows whose fingerprint already exists are skipped. A deleted id that is used again continues its versions, so that no
 * version, and so no ETag, stands for two contents.
 */
export const insertTransactionsSql = `insert into transactions (portfolio_id, id, type, executed_at, sequence, received_asset,
    received_quantity, given_asset, given_quantity, value, is_market_value, fee_asset, fee_quantity, fee_value, is_market_fee,
    note, import_id, fingerprint, version, created_at)
  select ?::uuid, id, type, executed_at, sequence, received_asset, received_quantity, given_asset, given_quantity, value,
    is_market_value, fee_asset, fee_quantity, fee_value, is_market_fee, note, import_id, fingerprint,
    case when created_at is null then version + (select count(*)::integer from transaction_changes change
      where change.portfolio_id = ?::uuid and change.transaction_id = row.id) else version end,
    coalesce(created_at, now())
  from unnest(?::uuid[], ?::text[], ?::timestamptz[], ?::integer[], ?::text[], ?::numeric[], ?::text[], ?::numeric[],
    ?::numeric[], ?::boolean[], ?::text[], ?::numeric[], ?::numeric[], ?::boolean[], ?::text[], ?::uuid[], ?::text[],
    ?::integer[], ?::timestamptz[])
    as row (id, type, executed_at, sequence, received_asset, received_quantity, given_asset, given_quantity, value,
      is_market_value, fee_asset, fee_quantity, fee_value, is_market_fee, note, import_id, fingerprint, version, created_at)
  on conflict (portfolio_id, fingerprint) where fingerprint is not null do nothing
  returning *`;

/** Keys of postings as arrays, in the order of {@link keyColumns}. */
export function keyArrays(postings: readonly Posting[]): readonly (readonly unknown[])[] {
  return [
    postings.map(({ asset }) => asset),
    postings.map(({ transaction }) => new Date(transaction.at).toISOString()),
    postings.map(({ transaction }) => rankOf[transaction.type]),
    postings.map(({ transaction }) => transaction.sequence),
    postings.map(({ transaction }) => transaction.id),
    postings.map(({ isFee }) => isFee),
  ];
}

/** The order of the books within an asset, by which postings and checkpoints are found. */
export const orderColumns = ['at', 'rank', 'sequence', 'transaction_id', 'is_fee'] as const;

/** Rows of {@link keyArrays}. */
export const keysSql = `unnest(?::text[], ?::timestamptz[], ?::smallint[], ?::integer[], ?::uuid[], ?::boolean[])
  as key (asset_id, ${orderColumns.join(', ')})`;

/** The order columns of a table as a row that can be compared. */
export function orderOf(table: string): string {
  return `(${orderColumns.map((column) => `${table}.${column}`).join(', ')})`;
}

/** Parameters of {@link insertPostingsSql}, after the portfolio. */
export function postingArrays(postings: readonly Posting[]): readonly (readonly unknown[])[] {
  return [
    ...keyArrays(postings),
    postings.map(({ kind }) => kind),
    postings.map(({ quantity }) => formatAmount(quantity)),
    postings.map(({ value }) => formatAmount(value)),
  ];
}

/** Writes postings. */
export const insertPostingsSql = `insert into postings
    (portfolio_id, asset_id, ${orderColumns.join(', ')}, kind, quantity, value)
  select ?::uuid, row.* from unnest(?::text[], ?::timestamptz[], ?::smallint[], ?::integer[], ?::uuid[], ?::boolean[],
    ?::text[], ?::numeric[], ?::numeric[]) as row`;
