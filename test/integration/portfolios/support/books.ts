/** A database with one user, and everything that updates of books stand on. */
import type { CostBasisMethod } from '../../../../src/domain/bookkeeping.ts';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../../db/connection.ts';
import {
  createBookReading,
  type BookReading,
} from '../../../../src/features/portfolios/queries/book-reading.ts';
import {
  createLedgerQueries,
  type LedgerQueries,
} from '../../../../src/features/portfolios/queries/ledgers.ts';
import { createPortfolioQueries } from '../../../../src/features/portfolios/queries/portfolios.ts';
import { recordChange } from '../../../../src/features/portfolios/queries/write-transactions.ts';
import { lotsOfCheckpoint } from '../../../../src/features/portfolios/ledger/replay.ts';
import type { BookChannel } from '../../../../src/features/portfolios/book-channel.ts';
import type { Lot } from '../../../../src/features/portfolios/ledger/asset-book.ts';
import type { RecordedTransaction } from '../../../../src/features/portfolios/ledger/recorded-transaction.ts';
import { silentLogger } from '../../../../src/platform/observability/logger.ts';
import { createBooksUpdate } from '../../../../workers/processors/portfolios/books.ts';
import { createThreadPool } from '../../../../workers/runtime/thread-pool.ts';
import { createReplays, type Replays } from '../../../../workers/threads/replay-ledger.ts';
import { createTestDatabase } from '../../../support/database.ts';
import { jobContext } from '../../../support/job-context.ts';

export interface BooksUnderTest {
  readonly knex: Knex;
  readonly ledgers: LedgerQueries;
  readonly reading: BookReading;
  readonly replays: Replays;
  readonly userId: string;
  /** What was told to be current, in its order. */
  readonly reported: string[];
  newPortfolio(method: CostBasisMethod, timeZone?: string): Promise<string>;
  record(
    portfolioId: string,
    change: { readonly add?: readonly RecordedTransaction[]; readonly remove?: readonly string[] },
  ): Promise<void>;
  /** Runs the job of an update as the worker would. */
  update(portfolioId: string): Promise<void>;
  /** The same with other replays, and other news. */
  updateWith(replays: Replays, portfolioId: string, channel?: Pick<BookChannel, 'publish'>): Promise<void>;
  /** Every derived row but for marks, the text of the last mark of each asset, and the versions. */
  projected(portfolioId: string): Promise<Record<string, unknown>>;
  /** Open lots as the last mark has them, the pool among them. */
  openLots(portfolioId: string, assetId: string): Promise<readonly Lot[]>;
  close(): Promise<void>;
}

/** `threshold`: postings from which a replay runs in a thread. */
export async function openBooks(threshold?: number): Promise<BooksUnderTest> {
  const database = await createTestDatabase();
  const knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 6 });
  const userId = uuidv7();
  await knex('users').insert({ id: userId, username: 'joe', email: 'joe@example.com', password_hash: 'x' });
  const portfolios = createPortfolioQueries(knex);
  const ledgers = createLedgerQueries(knex);
  const threads = createThreadPool();
  const replays = createReplays(threads, threshold);
  const reported: string[] = [];
  const publish = (id: string): Promise<void> => Promise.resolve(void reported.push(id));
  const updateWith: BooksUnderTest['updateWith'] = async (others, portfolioId, channel = { publish }) => {
    const deps = { ledgers, replays: others, channel, log: silentLogger() };
    await createBooksUpdate(deps)({ portfolioId }, jobContext());
  };
  return {
    knex,
    ledgers,
    reading: createBookReading(knex),
    replays,
    userId,
    reported,
    async newPortfolio(method, timeZone = 'UTC') {
      const fields = { name: 'mine', baseCurrency: 'usd', method, timeZone };
      return (await portfolios.insert(userId, fields, 1_000_000)).id;
    },
    async record(portfolioId, change) {
      await knex.transaction((trx) =>
        recordChange(trx, { portfolioId, limit: 1_000_000, by: {}, ...change }),
      );
    },
    update: (portfolioId) => updateWith(replays, portfolioId),
    updateWith,
    projected: (portfolioId) => projectedOf(knex, portfolioId),
    async openLots(portfolioId, assetId) {
      const { rows } = await knex.raw<{ rows: { method: CostBasisMethod; time_zone: string }[] }>(
        'select method, time_zone from portfolios where id = ?',
        [portfolioId],
      );
      const row = rows[0]!;
      const kept = { id: portfolioId, method: row.method, timeZone: row.time_zone };
      const text = (await createBookReading(knex).lastCheckpoints(kept, [assetId])).get(assetId);
      return text === undefined ? [] : lotsOfCheckpoint(text, kept);
    },
    async close() {
      await threads.close();
      await knex.destroy();
      await database.drop();
    },
  };
}

async function projectedOf(knex: Knex, portfolioId: string): Promise<Record<string, unknown>> {
  const all = (sql: string) => knex.raw<{ rows: unknown[] }>(sql, [portfolioId]).then(({ rows }) => rows);
  const bare = `to_jsonb(t) - 'portfolio_id'`;
  return {
    positions: await all(`select ${bare} as row from positions t where portfolio_id = ? order by asset_id`),
    lotMatches: await all(
      `select ${bare} as row from consumptions t where portfolio_id = ? order by asset_id, number`,
    ),
    ends: await all(
      `select distinct on (asset_id) asset_id, ${bare} as row from ledger_marks t where portfolio_id = ?
       order by asset_id, count desc`,
    ),
    versions: await all('select booked_version = books_version as current from portfolios where id = ?'),
  };
}
