/**
 * Whether a change leaves every holding at zero or more, asked of Postgres: a running sum over the postings of each asset that
 * was touched. It begins at the newest mark before the earliest touched posting, because what lies before it is as it was; so
 * a change costs what follows it.
 */
import { transactionTypes, type TransactionType } from '../../../domain/bookkeeping.ts';
import type { Knex } from 'knex';
import { amountOf } from '../ledger/amount.ts';
import { OverdrawnError } from '../ledger/overdrawn-error.ts';
import type { Posting, PostingKind } from '../ledger/postings.ts';
import { rankOf } from '../ledger/transaction.ts';
import { keyArrays, keysSql, orderColumns, orderOf } from './transaction-rows.ts';

const order = orderColumns.join(', ');

/** Before any posting. */
const beginning = `(coalesce(mark.at, '-infinity'), coalesce(mark.rank, 0), coalesce(mark.sequence, 0),
  coalesce(mark.transaction_id, '00000000-0000-0000-0000-000000000000'), coalesce(mark.is_fee, false))`;

const overdrawnSql = `select key.asset_id, below.* from ${keysSql}
  left join lateral (
    select ${order}, holding from ledger_marks mark
    where mark.portfolio_id = ? and mark.asset_id = key.asset_id and ${orderOf('mark')} < ${orderOf('key')}
    order by count desc limit 1
  ) as mark on true
  cross join lateral (
    select ${order}, kind, quantity, value, running from (
      select ${order}, kind, quantity, value, coalesce(mark.holding, 0)
        + sum(case when kind in ('acquire', 'transfer_in') then quantity else -quantity end) over (order by ${order}) as running
      from postings posting
      where posting.portfolio_id = ? and posting.asset_id = key.asset_id and ${orderOf('posting')} > ${beginning}
    ) as summed
    where running < 0 order by ${order} limit 1
  ) as below
  order by ${order}, key.asset_id limit 1`;

interface OverdrawnRow {
  readonly asset_id: string;
  readonly at: Date;
  readonly rank: number;
  readonly sequence: number;
  readonly transaction_id: string;
  readonly is_fee: boolean;
  readonly kind: PostingKind;
  readonly quantity: string;
  readonly value: string;
  readonly running: string;
}

/**
 * Refuses a change that was written already, in the transaction that it was written in.
 * @param touched the earliest posting of each asset that came or went.
 * @throws {OverdrawnError} telling the first posting that takes more than is held then.
 */
export async function checkHoldings(
  trx: Knex,
  portfolioId: string,
  touched: readonly Posting[],
): Promise<void> {
  const { rows } = await trx.raw<{ rows: OverdrawnRow[] }>(overdrawnSql, [
    ...keyArrays(touched),
    portfolioId,
    portfolioId,
  ] as never);
  const [row] = rows;
  if (row === undefined) return;
  const quantity = amountOf(row.quantity);
  const posting: Posting = {
    transaction: {
      id: row.transaction_id,
      at: row.at.getTime(),
      type: typeOfRank(row.rank),
      sequence: row.sequence,
    },
    asset: row.asset_id,
    kind: row.kind,
    isFee: row.is_fee,
    quantity,
    value: amountOf(row.value),
  };
  throw new OverdrawnError(posting, amountOf(row.running) + quantity);
}

/** No join for the type: of a portfolio that is new to the planner it expects one row, and would join before it sums. */
function typeOfRank(rank: number): TransactionType {
  const type = transactionTypes.find((each) => rankOf[each] === rank);
  if (type === undefined) throw new Error(`a posting has the unknown rank ${rank}`);
  return type;
}

const deleteMarksSql = `delete from ledger_marks mark using ${keysSql}
  where mark.portfolio_id = ? and mark.asset_id = key.asset_id and ${orderOf('mark')} >= ${orderOf('key')}`;

/** Deletes the marks that a change makes void: those at or behind the earliest touched posting of each asset. */
export async function deleteMarks(
  trx: Knex,
  portfolioId: string,
  touched: readonly Posting[],
): Promise<void> {
  await trx.raw(deleteMarksSql, [...keyArrays(touched), portfolioId] as never);
}
