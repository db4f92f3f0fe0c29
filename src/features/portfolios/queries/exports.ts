import type { Knex } from 'knex';
import { amountOf, type Amount } from '../ledger/amount.ts';
import type { StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { TransactionRow } from '../../../../db/models/transaction.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { toStored } from './transaction-rows.ts';

/** What a disposal took out of one lot or pool, as in a report of realised gains. */
export interface RealisedGain {
  readonly assetId: string;
  readonly transactionId: string;
  readonly isFee: boolean;
  readonly disposedAt: Date;
  /** Null for a pool. */
  readonly acquiredAt: Date | null;
  readonly rule: string;
  readonly quantity: Amount;
  readonly proceeds: Amount;
  readonly basis: Amount;
  readonly isProvisional: boolean;
}

/** Rows per page. */
const pageSize = 2_000;

/**
 * Whole portfolios page by page, with one statement per page: however slowly a client reads, no connection is held in between.
 * All methods throw {UnavailableError} when Postgres does not answer.
 */
export function createExportQueries(knex: Knex) {
  return {
    /** In the order of the books. */
    async *transactions(portfolioId: string): AsyncGenerator<readonly StoredTransaction[]> {
      let last: readonly unknown[] = first.transactions;
      for (;;) {
        const values = [portfolioId, ...last, pageSize];
        const { rows } = await orUnavailable(
          knex.raw<{ rows: TransactionRow[] }>(transactionsSql, values as never),
        );
        if (rows.length > 0) yield rows.map(toStored);
        const end = rows.at(-1);
        if (end === undefined || rows.length < pageSize) return;
        last = [end.executed_at, end.rank, end.sequence, end.id];
      }
    },

    /** Disposals in the order of time, of one year of a time zone or (null) of all. */
    async *gains({
      portfolioId,
      timeZone,
      year,
    }: {
      readonly portfolioId: string;
      readonly timeZone: string;
      readonly year: number | null;
    }): AsyncGenerator<readonly RealisedGain[]> {
      let last: readonly unknown[] = first.gains;
      const span = year === null ? [] : [year, timeZone, year + 1, timeZone];
      for (;;) {
        const values = [portfolioId, ...span, ...last, pageSize];
        const sql = year === null ? allGainsSql : yearGainsSql;
        const { rows } = await orUnavailable(
          knex.raw<{
            rows: {
              readonly at: Date;
              readonly asset_id: string;
              readonly number: number;
              readonly transaction_id: string;
              readonly is_fee: boolean;
              readonly acquired_at: Date | null;
              readonly rule: string;
              readonly quantity: string;
              readonly proceeds: string;
              readonly basis: string;
              readonly is_provisional: boolean;
            }[];
          }>(sql, values as never),
        );
        if (rows.length > 0)
          yield rows.map((row): RealisedGain => ({
            assetId: row.asset_id,
            transactionId: row.transaction_id,
            isFee: row.is_fee,
            disposedAt: row.at,
            acquiredAt: row.acquired_at,
            rule: row.rule,
            quantity: amountOf(row.quantity),
            proceeds: amountOf(row.proceeds),
            basis: amountOf(row.basis),
            isProvisional: row.is_provisional,
          }));
        const end = rows.at(-1);
        if (end === undefined || rows.length < pageSize) return;
        last = [end.at, end.asset_id, end.number];
      }
    },
  };
}

/** Before all rows. */
const first = {
  transactions: ['-infinity', 0, 0, '00000000-0000-0000-0000-000000000000'],
  gains: ['-infinity', '', -1],
} as const;

const order = 'executed_at, rank, sequence, id';
const transactionsSql = `select * from transactions
  where portfolio_id = ? and (${order}) > (?::timestamptz, ?::smallint, ?::integer, ?::uuid) order by ${order} limit ?`;

const gainsSqlOf = (
  span: string,
): string => `select at, asset_id, number, transaction_id, is_fee, acquired_at, rule,
    quantity, proceeds, basis, is_provisional
  from consumptions where portfolio_id = ? and kind = 'disposal' ${span}
    and (at, asset_id, number) > (?::timestamptz, ?::text, ?::integer)
  order by at, asset_id, number limit ?`;
const startOfYear = 'make_timestamptz(?::integer, 1, 1, 0, 0, 0, ?)';
const allGainsSql = gainsSqlOf('');
const yearGainsSql = gainsSqlOf(`and at >= ${startOfYear} and at < ${startOfYear}`);
