/** Portfolios that were deleted long ago go with all that was in them; others keep everything. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import { purgePortfolios } from '../../../src/features/portfolios/queries/portfolio-purge.ts';
import { createPortfolioQueries } from '../../../src/features/portfolios/queries/portfolios.ts';
import { recordChange } from '../../../src/features/portfolios/queries/write-transactions.ts';
import { oneUnit } from '../../../src/features/portfolios/ledger/amount.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const ago = (days: number): Date => new Date(Date.now() - days * 86_400_000);

describe('the purge of portfolios', () => {
  let database: TestDatabase;
  let knex: Knex;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 2 });
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  async function newUser(deletedAt: Date | null = null): Promise<string> {
    const id = uuidv7();
    const row = { id, username: id, email: id, password_hash: 'x', deleted_at: deletedAt };
    await knex('users').insert(row);
    return id;
  }

  async function newPortfolio(userId: string, deletedAt: Date | null = null): Promise<string> {
    const fields = { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone: 'UTC' } as const;
    const { id: portfolioId } = await createPortfolioQueries(knex).insert(userId, fields, 10);
    const add = [1, 2].map((at) => ({
      id: uuidv7(),
      type: 'buy' as const,
      at,
      sequence: 0,
      received: { asset: 'bitcoin', quantity: oneUnit },
      sent: null,
      value: oneUnit,
      fee: null,
      note: null,
      isMarketValue: false,
      isMarketFee: false,
      importId: null,
      fingerprint: null,
    }));
    await knex.transaction((trx) => recordChange(trx, { portfolioId, limit: 10, add, by: {} }));
    await knex('portfolios').where({ id: portfolioId }).update({ deleted_at: deletedAt });
    return portfolioId;
  }

  it('takes those that were deleted long ago, or whose owners were, whole, and no others', async () => {
    const user = await newUser();
    const kept = [
      await newPortfolio(user),
      await newPortfolio(user, ago(29)),
      await newPortfolio(await newUser(ago(29))),
    ];
    await newPortfolio(user, ago(31));
    await newPortfolio(await newUser(ago(31)));
    const purge = (): Promise<number> => purgePortfolios(knex);
    expect(await purge()).to.equal(2 * (1 + 3 * 2));
    expect(await purge()).to.equal(0);
    expect(await knex('portfolios').orderBy('id').pluck('id')).to.deep.equal(kept.toSorted());
    for (const table of ['transactions', 'postings', 'transaction_changes']) {
      const rows = await knex(table).distinct('portfolio_id').orderBy('portfolio_id').pluck('portfolio_id');
      expect(rows, table).to.deep.equal(kept.toSorted());
      expect(await knex(table), table).to.have.length(6);
    }
  });
});
