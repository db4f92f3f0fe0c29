/**
 * Reads and writes the derived tables of portfolios for updates. An update is one database transaction, and a portfolio has one
 * at a time. Changes of transactions lock the row of their portfolio, so there are two ways to keep apart from them:
 *
 * - `locked`: the row is locked from the start. For short updates: a change waits for them.
 * - `optimistic`: everything is read from one snapshot, and the row is locked only at the end. If the portfolio has changed
 *   meanwhile, the update is discarded ({@link BooksChangedError}), so changes never wait for long.
 *
 * Checkpoints are written after that lock, because changes delete checkpoints: this avoids deadlocks.
 */
import type { Knex } from 'knex';
import { createBooksWriter, type BooksWriter, type PortfolioBeingBooked } from './books-writer.ts';

/** How an update keeps apart from changes of transactions. */
export type UpdateMode = 'locked' | 'optimistic';

/** Another update of the portfolio is running; try again in a moment. */
export class BooksBusyError extends Error {
  constructor() {
    super('the books of the portfolio are already being updated');
    this.name = 'BooksBusyError';
  }
}

/** The portfolio changed during an optimistic update; nothing was written. */
export class BooksChangedError extends Error {
  constructor() {
    super('the portfolio changed while its books were being updated');
    this.name = 'BooksChangedError';
  }
}

/** A running update. */
export interface BooksUpdate extends BooksWriter {
  readonly portfolio: PortfolioBeingBooked;
  /** Locks the portfolio, if it is not locked yet. Checkpoints are written after it. @throws {BooksChangedError} */
  lock(): Promise<void>;
}

/** See {@link createLedgerQueries}. */
export type LedgerQueries = ReturnType<typeof createLedgerQueries>;

/** Longest wait (ms) of a short update for a lock. */
const lockWaitMs = 500;
const lockNotAvailable = '55P03';
/** Serialization failure, deadlock. */
const movedCodes: ReadonlySet<unknown> = new Set(['40001', '40P01']);

/** Derived tables in Postgres. */
export function createLedgerQueries(knex: Knex) {
  return {
    /**
     * Runs an update in a transaction of its own, which is rolled back when `work` rejects. Undefined when there is no such
     * portfolio (any more).
     * @throws {BooksBusyError} {BooksChangedError}
     */
    update: <T>(
      portfolioId: string,
      mode: UpdateMode,
      work: (update: BooksUpdate) => Promise<T>,
    ): Promise<T | undefined> =>
      named(
        knex.transaction((trx) => updateIn(trx, { portfolioId, mode }, work), {
          isolationLevel: mode === 'locked' ? 'read committed' : 'repeatable read',
        }),
      ),
    /** Portfolios whose derived tables are behind, one page in the order of their ids. */
    async unbooked({
      after,
      limit,
    }: {
      readonly after: string | undefined;
      readonly limit: number;
    }): Promise<string[]> {
      const { rows } = await knex.raw<{ rows: { id: string }[] }>(unbookedSql, [
        after ?? '00000000-0000-0000-0000-000000000000',
        limit,
      ]);
      return rows.map(({ id }) => id);
    },
  };
}

const unbookedSql = `select id from portfolios where booked_version < books_version and deleted_at is null and id > ?
  order by id limit ?`;

async function updateIn<T>(
  trx: Knex.Transaction,
  { portfolioId, mode }: { readonly portfolioId: string; readonly mode: UpdateMode },
  work: (update: BooksUpdate) => Promise<T>,
): Promise<T | undefined> {
  await lockForUpdate(trx, portfolioId, mode);
  let isLocked = mode === 'locked';
  const portfolio = await portfolioIn(trx, portfolioId, isLocked);
  if (portfolio === undefined) return undefined;
  const lock = async (): Promise<void> => {
    if (isLocked) return;
    // Fails when the row has changed since the snapshot.
    await portfolioIn(trx, portfolioId, true);
    isLocked = true;
  };
  return await work({ portfolio, lock, ...createBooksWriter(trx, portfolio) });
}

/** Updates of one portfolio take turns. */
async function lockForUpdate(trx: Knex, portfolioId: string, mode: UpdateMode): Promise<void> {
  if (mode === 'locked') {
    await trx.raw(`set local lock_timeout = ${lockWaitMs}`);
    await trx.raw(`select pg_advisory_xact_lock(hashtextextended('books ' || ?::text, 0))`, [portfolioId]);
    return;
  }
  const { rows } = await trx.raw<{ rows: { taken: boolean }[] }>(
    `select pg_try_advisory_xact_lock(hashtextextended('books ' || ?::text, 0)) as taken`,
    [portfolioId],
  );
  if (rows[0]?.taken !== true) throw new BooksBusyError();
}

async function portfolioIn(
  trx: Knex,
  id: string,
  isLocked: boolean,
): Promise<PortfolioBeingBooked | undefined> {
  const { rows } = await trx.raw<{ rows: PortfolioBeingBooked[] }>(
    `select id, method, time_zone as "timeZone", books_version as "booksVersion", booked_version as "bookedVersion"
    from portfolios where id = ? and deleted_at is null ${isLocked ? 'for no key update' : ''}`,
    [id],
  );
  return rows[0];
}

async function named<T>(update: Promise<T>): Promise<T> {
  try {
    return await update;
  } catch (error) {
    const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === lockNotAvailable) throw new BooksBusyError();
    if (movedCodes.has(code)) throw new BooksChangedError();
    throw error;
  }
}
