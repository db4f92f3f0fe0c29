/** Many who change one portfolio leave connections for everybody else. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import {
  createPortfolioQueries,
  lockPortfolio,
} from '../../../src/features/portfolios/queries/portfolios.ts';
import { NotFoundError, UnavailableError } from '../../../src/domain/errors.ts';
import {
  createPortfolioOperations,
  type PortfolioService,
} from '../../../src/features/portfolios/portfolio-service.ts';
import { createWriteLocks } from '../../../src/features/portfolios/transactions/transaction-service.ts';
import { realPortfolios } from '../../http/support/real-portfolios.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('changes of one portfolio', () => {
  let database: TestDatabase;
  let knex: Knex;
  let outside: Knex;
  let services: Pick<PortfolioService, 'portfolios' | 'transactions'>;
  const viewer = { userId: uuidv7(), role: 'user' } as const;

  before(async () => {
    database = await createTestDatabase();
    const open = (poolSize: number): Knex =>
      openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize });
    // The models are bound to the one that is opened last.
    outside = open(2);
    knex = open(4);
    services = realPortfolios({
      config: { PORTFOLIO_TRANSACTION_LIMIT: 1_000 },
      knex,
      assets: { isKnown: () => false, byId: () => undefined },
      // A hundred changes may take a busy machine longer than clients are kept waiting.
      withWriteLock: createWriteLocks({ longestWaitMs: 100_000 }),
    });
    await knex('users').insert({
      id: viewer.userId,
      username: 'j',
      email: 'j@example.com',
      password_hash: 'x',
    });
  });
  after(async () => {
    await outside.destroy();
    await knex.destroy();
    await database.drop();
  });

  const newPortfolio = async (): Promise<string> => {
    const fields = { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone: 'UTC' } as const;
    return (await services.portfolios.create(viewer, fields)).id;
  };

  async function purchases(portfolioId: string, count: number): Promise<string[]> {
    const drafts = Array.from({ length: count }, () => ({
      type: 'buy',
      executedAt: '2023-01-01T00:00:00Z',
      received: { asset: 'bitcoin', quantity: '1' },
      value: '1',
    }));
    const made = await services.transactions.create({ portfolioId, viewer, by: {} }, drafts, true);
    return made.transactions.map(({ id }) => id);
  }

  const removal = (portfolioId: string, id: string): Promise<unknown> =>
    services.transactions.remove({ portfolioId, viewer, by: {}, id, expected: 'any' }).then(
      () => 'done',
      (error: unknown) => error,
    );

  /** Who waits for a lock in this database. */
  async function waitingForLock(): Promise<number> {
    const { rows } = await outside.raw<{ rows: { count: number }[] }>(
      `select count(*)::integer as count from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows[0]!.count;
  }

  /** Holds the lock of a portfolio, as an import in another process does, for as long as `during` takes. */
  async function whileLocked(portfolioId: string, during: () => Promise<void>): Promise<void> {
    const trx = await outside.transaction();
    try {
      await lockPortfolio(trx, portfolioId);
      await during();
    } finally {
      await trx.rollback();
    }
  }

  it('that wait for its lock leave others their connections, and are all made in the end', async () => {
    const id = await newPortfolio();
    const other = await newPortfolio();
    const ids = await purchases(id, 40);
    let removals: Promise<unknown>[] = [];
    let renaming: Promise<unknown> = Promise.resolve();
    await whileLocked(id, async () => {
      removals = ids.map((each) => removal(id, each));
      renaming = services.portfolios.change({ id, viewer, expected: 'any', changes: { name: 'yours' } });
      renaming.catch(() => undefined);
      await waitFor(async () => (await waitingForLock()) === 2, { what: 'two that wait for the lock' });
      expect(await purchases(other, 3)).to.have.lengthOf(3);
      expect((await services.portfolios.get(id, viewer)).name).to.equal('mine');
      expect(await waitingForLock()).to.equal(2);
    });
    expect(new Set(await Promise.all(removals))).to.deep.equal(new Set(['done']));
    await renaming;
    expect((await services.portfolios.get(id, viewer)).name).to.equal('yours');
    const { total } = await services.transactions.page({
      portfolioId: id,
      viewer,
      page: 1,
      limit: 1,
      filter: {},
    });
    expect(total).to.equal(0);
  });

  it('are refused, with a time to come back, when a hundred wait already', async () => {
    const id = await newPortfolio();
    const ids = await purchases(id, 103);
    let removals: Promise<unknown>[] = [];
    let refused: unknown;
    await whileLocked(id, async () => {
      removals = ids.map((each) => removal(id, each));
      refused = await Promise.race(removals);
    });
    expect(refused).to.be.instanceOf(UnavailableError);
    expect(refused).to.include({ status: 503, code: 'portfolio_busy', retryAfterSeconds: 1 });
    const ends = await Promise.all(removals);
    expect(ends.filter((end) => end === 'done')).to.have.lengthOf(102);
  });

  it('hold though nobody can be told that it was deleted', async () => {
    const id = await newPortfolio();
    const ended: string[] = [];
    const operations = createPortfolioOperations({
      portfolios: createPortfolioQueries(knex),
      withWriteLock: createWriteLocks(),
      updateBooks: () => undefined,
      announceEnd: (gone) => {
        ended.push(gone);
        return Promise.reject(new Error('Redis is away'));
      },
    });
    await operations.remove({ id, viewer, expected: 'any' });
    expect(ended).to.deep.equal([id]);
    const error: unknown = await operations.get(id, viewer).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(NotFoundError);
  });
});
