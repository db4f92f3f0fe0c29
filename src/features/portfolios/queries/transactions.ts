import type { TransactionType } from '../../../domain/bookkeeping.ts';
import type { Knex } from 'knex';
import type { StoredTransaction } from '../ledger/recorded-transaction.ts';
import { rankOf, type Transaction } from '../ledger/transaction.ts';
import { TransactionRow } from '../../../../db/models/transaction.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { listChanges } from './transaction-changes.ts';
import { toStored, toTransaction, transactionColumns, type TransactionColumns } from './transaction-rows.ts';
import { openBookChange, recordInto, type BookChange, type RecordRequest } from './write-transactions.ts';

/** Selects transactions of a portfolio. Absent fields do not restrict. */
export interface TransactionFilter {
  /** Received, sent, or paid as a fee. */
  readonly asset?: string | undefined;
  readonly type?: TransactionType | undefined;
  /** Milliseconds since the epoch, both included. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly importId?: string | undefined;
}

/** A change that is computed while the portfolio is locked, so that nothing changes between reading and writing. */
export type PlanChange = (
  change: BookChange,
  find: (ids: readonly string[]) => Promise<readonly StoredTransaction[]>,
) => Promise<Pick<RecordRequest, 'remove' | 'add'>>;

/** See {@link createTransactionQueries}. */
export type TransactionQueries = ReturnType<typeof createTransactionQueries>;

/** Transactions per statement when all are read. */
const pageSize = 5_000;

/** Transactions of portfolios in Postgres. All methods throw {@link UnavailableError} when it does not answer. */
export function createTransactionQueries(knex: Knex) {
  return {
    /**
     * All transactions of a portfolio in the order of the books, some thousand at a time, from one snapshot of the database.
     */
    inOrder: (portfolioId: string): AsyncIterable<readonly Transaction[]> => inSnapshot(knex, portfolioId),

    /** The existing ones among these transactions, in no order. */
    find: (portfolioId: string, ids: readonly string[]): Promise<readonly StoredTransaction[]> =>
      orUnavailable(findMany(knex, portfolioId, ids)),

    /** A page, the latest in the order of the books first. */
    page: (requested: Parameters<typeof pageOf>[1]) => orUnavailable(pageOf(knex, requested)),

    /** Makes a change as `recordChange` does; returns what was added, as stored. @throws what that throws. */
    change: (
      { by, ...request }: Pick<RecordRequest, 'portfolioId' | 'limit' | 'by'>,
      plan: PlanChange,
    ): Promise<readonly StoredTransaction[]> =>
      orUnavailable(
        knex.transaction(async (trx) => {
          const change = await openBookChange(trx, request);
          const planned = await plan(change, (ids) => findMany(trx, request.portfolioId, ids));
          return await recordInto(trx, change, { ...planned, by });
        }),
      ),

    /** A page of an audit trail, the newest first. */
    changes: (filter: Parameters<typeof listChanges>[1]) => orUnavailable(listChanges(knex, filter)),
  };
}

async function findMany(
  knex: Knex,
  portfolioId: string,
  ids: readonly string[],
): Promise<StoredTransaction[]> {
  if (ids.length === 0) return [];
  const { rows } = await knex.raw<{ rows: TransactionRow[] }>(
    'select * from transactions where portfolio_id = ? and id = any(?::uuid[])',
    [portfolioId, ids] as never,
  );
  return rows.map(toStored);
}

const places = ['executed_at', 'rank', 'sequence', 'id'] as const;
const firstPageSql = `select ${transactionColumns} from transactions where portfolio_id = ?
  order by ${places.join(', ')} limit ?`;
const nextPageSql = `select ${transactionColumns} from transactions where portfolio_id = ?
    and (${places.join(', ')}) > (?::timestamptz, ?::smallint, ?::integer, ?::uuid)
  order by ${places.join(', ')} limit ?`;

/** Reads page by page, in a transaction that sees one state of the database; it ends when the reader does. */
async function* inSnapshot(knex: Knex, portfolioId: string): AsyncGenerator<readonly Transaction[]> {
  const trx = await orUnavailable(
    knex.transaction(null, { isolationLevel: 'repeatable read', readOnly: true }),
  );
  try {
    yield* inOrderOf(trx, portfolioId);
  } finally {
    await trx.rollback();
  }
}

/** Within an open transaction. */
async function* inOrderOf(trx: Knex, portfolioId: string): AsyncGenerator<readonly Transaction[]> {
  let last: Transaction | undefined;
  for (;;) {
    const [sql, values] =
      last === undefined
        ? [firstPageSql, [portfolioId, pageSize]]
        : [nextPageSql, [portfolioId, ...placeOf(last), pageSize]];
    const { rows } = await orUnavailable(trx.raw<{ rows: TransactionColumns[] }>(sql, values));
    const page = rows.map(toTransaction);
    if (page.length > 0) yield page;
    last = page.at(-1);
    if (page.length < pageSize) return;
  }
}

function placeOf({ at, type, sequence, id }: Transaction): (string | number)[] {
  return [new Date(at).toISOString(), rankOf[type], sequence, id];
}

async function pageOf(
  knex: Knex,
  {
    portfolioId,
    filter,
    offset,
    limit,
  }: {
    readonly portfolioId: string;
    readonly filter: TransactionFilter;
    readonly offset: number;
    readonly limit: number;
  },
): Promise<{ readonly transactions: readonly StoredTransaction[]; readonly total: number }> {
  const page = await filtered(knex, portfolioId, filter)
    .orderBy(places.map((column) => ({ column, order: 'desc' as const })))
    .range(offset, offset + limit - 1);
  return { transactions: page.results.map(toStored), total: page.total };
}

function filtered(knex: Knex, portfolioId: string, filter: TransactionFilter) {
  const query = TransactionRow.query(knex).where({ portfolio_id: portfolioId });
  const { asset, type, from, to, importId } = filter;
  if (type !== undefined) void query.where({ type });
  if (importId !== undefined) void query.where({ import_id: importId });
  if (from !== undefined) void query.where('executed_at', '>=', new Date(from));
  if (to !== undefined) void query.where('executed_at', '<=', new Date(to));
  if (asset !== undefined) void query.whereRaw('? in (received_asset, given_asset, fee_asset)', [asset]);
  return query;
}
