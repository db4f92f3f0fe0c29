import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import type { Portfolio } from '../ledger/portfolio.ts';
import { ConflictError, NotFoundError, ValidationError } from '../../../domain/errors.ts';
import { PortfolioRow } from '../../../../db/models/portfolio.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** The fields of a portfolio that a user sets. */
export interface PortfolioFields {
  readonly name: string;
  readonly baseCurrency: string;
  readonly method: CostBasisMethod;
  readonly timeZone: string;
}

/** A change of one portfolio. */
interface PortfolioUpdate {
  readonly id: string;
  /** Throws to refuse; called while the row is locked. */
  readonly confirm: (portfolio: Portfolio) => void;
  readonly changes: Partial<PortfolioFields>;
}

/** See {@link createPortfolioQueries}. */
export type PortfolioQueries = ReturnType<typeof createPortfolioQueries>;

/**
 * Portfolios in Postgres. Deleted ones are treated as missing. All methods throw {@link UnavailableError} when it does not
 * answer.
 */
export function createPortfolioQueries(knex: Knex) {
  const living = () => PortfolioRow.query(knex).whereNull('deleted_at');
  return {
    /**
     * @throws {ConflictError} (`portfolio_limit`) the user has `limit` of them.
     * @throws {ValidationError} (`time_zone`) Postgres does not know the time zone.
     */
    async insert(userId: string, fields: PortfolioFields, limit: number): Promise<Portfolio> {
      await confirmTimeZone(knex, fields.timeZone);
      const inserted = knex.transaction(async (trx) => {
        // Of two that are created at once, the second counts the first.
        await trx('users').where({ id: userId }).forNoKeyUpdate().first('id');
        const count = await PortfolioRow.query(trx)
          .where({ user_id: userId })
          .whereNull('deleted_at')
          .resultSize();
        if (count >= limit)
          throw new ConflictError(`You have ${limit} portfolios, the most allowed`, 'portfolio_limit');
        return await PortfolioRow.query(trx)
          .insert({ id: uuidv7(), user_id: userId, ...columnsOf(fields) })
          .returning('*');
      });
      return toPortfolio(await orUnavailable(inserted));
    },

    async find(id: string): Promise<Portfolio | undefined> {
      const row = await orUnavailable(living().findById(id));
      return row === undefined ? undefined : toPortfolio(row);
    },

    /** A page of a user's portfolios, the newest first. */
    async page({
      userId,
      offset,
      limit,
    }: {
      readonly userId: string;
      readonly offset: number;
      readonly limit: number;
    }): Promise<{ readonly portfolios: readonly Portfolio[]; readonly total: number }> {
      // Ids are UUIDs of version 7, so they sort by time.
      const found = await orUnavailable(
        living()
          .where({ user_id: userId })
          .orderBy('id', 'desc')
          .range(offset, offset + limit - 1),
      );
      return { portfolios: found.results.map(toPortfolio), total: found.total };
    },

    /**
     * Changes the given fields. Another method or time zone invalidates everything derived.
     * @throws {NotFoundError} (`portfolio_not_found`) there is none.
     * @throws {ConflictError} (`base_currency_fixed`) another base currency, and there are transactions.
     * @throws {ValidationError} (`time_zone`) Postgres does not know the time zone.
     */
    async update(update: PortfolioUpdate): Promise<Portfolio> {
      const { timeZone } = update.changes;
      if (timeZone !== undefined) await confirmTimeZone(knex, timeZone);
      return await orUnavailable(knex.transaction((trx) => updatePortfolio(trx, update)));
    },

    /**
     * Deletes a portfolio with its contents and its alerts. The rows are purged later.
     * @throws {NotFoundError} there is none.
     */
    remove: ({ id, confirm }: Omit<PortfolioUpdate, 'changes'>): Promise<void> =>
      orUnavailable(
        knex.transaction(async (trx) => {
          const row = await lockPortfolio(trx, id);
          confirm(toPortfolio(row));
          await PortfolioRow.query(trx).findById(id).patch({ deleted_at: new Date() });
          await trx.raw(removeAlertsSql, [id]);
        }),
      ),
  };
}

/**
 * Locks a portfolio that is not deleted until the transaction ends.
 * @throws {NotFoundError} (`portfolio_not_found`) there is none.
 */
export async function lockPortfolio(trx: Knex, id: string): Promise<PortfolioRow> {
  const row = await PortfolioRow.query(trx).findById(id).whereNull('deleted_at').forNoKeyUpdate();
  if (row === undefined) throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
  return row;
}

/** Converts a row to the domain type. */
export function toPortfolio(row: PortfolioRow): Portfolio {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    baseCurrency: row.base_currency,
    method: row.method,
    timeZone: row.time_zone,
    version: row.version,
    booksVersion: row.books_version,
    bookedVersion: row.booked_version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** In the order in which evaluators lock alerts, to avoid deadlocks. */
const removeAlertsSql = `with locked as (
    select id from alerts where portfolio_id = ? and deleted_at is null order by id for update)
  update alerts set deleted_at = clock_timestamp(), updated_at = clock_timestamp(), version = version + 1
  from locked where alerts.id = locked.id`;

/** SQLSTATE invalid_parameter_value. */
const invalidParameter = '22023';

/**
 * The database computes days too, and may have other zones than the runtime.
 * @throws {ValidationError} it does not know this one.
 */
async function confirmTimeZone(knex: Knex, timeZone: string): Promise<void> {
  if (timeZone === 'UTC') return;
  try {
    await orUnavailable(knex.raw('select now() at time zone ?::text', [timeZone]));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === invalidParameter)) throw error;
    const problem = { field: 'time_zone', message: 'is not a known time zone' };
    throw new ValidationError('The request is not valid', [problem]);
  }
}

async function updatePortfolio(trx: Knex, { id, confirm, changes }: PortfolioUpdate): Promise<Portfolio> {
  const row = await lockPortfolio(trx, id);
  const before = toPortfolio(row);
  confirm(before);
  const patch = differences(before, changes);
  if (Object.keys(patch).length === 0) return before;
  if (patch.base_currency !== undefined && row.transaction_count > 0)
    throw new ConflictError(
      'The base currency can no longer change: transactions are valued in it',
      'base_currency_fixed',
    );
  const isKeptOtherwise = patch.method !== undefined || patch.time_zone !== undefined;
  if (isKeptOtherwise) await trx('ledger_marks').where({ portfolio_id: id }).delete();
  const rows = await trx('portfolios')
    .where({ id })
    .update({
      ...patch,
      version: row.version + 1,
      updated_at: trx.fn.now(),
      ...(isKeptOtherwise ? { books_version: row.books_version + 1 } : {}),
    })
    .returning<PortfolioRow[]>('*');
  const [after = row] = rows;
  return toPortfolio(after);
}

function columnsOf({ name, baseCurrency, method, timeZone }: PortfolioFields) {
  return { name, base_currency: baseCurrency, method, time_zone: timeZone };
}

/** The columns that get another value. */
function differences(
  before: Portfolio,
  changes: Partial<PortfolioFields>,
): Partial<ReturnType<typeof columnsOf>> {
  const [was, given] = [columnsOf(before), columnsOf({ ...before, ...changes })];
  return Object.fromEntries(
    Object.entries(given).filter(([column, value]) => value !== was[column as keyof typeof was]),
  );
}
