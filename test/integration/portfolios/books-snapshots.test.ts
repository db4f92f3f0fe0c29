/** What is read of books is of one moment, whatever happens to them meanwhile. */
import type { CostBasisMethod } from '../../../src/domain/bookkeeping.ts';
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createPortfolioQueries } from '../../../src/features/portfolios/queries/portfolios.ts';
import { oneUnit } from '../../../src/features/portfolios/ledger/amount.ts';
import type { RecordedTransaction } from '../../../src/features/portfolios/ledger/recorded-transaction.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { UnavailableError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { type BookView, createBookReader } from '../../../src/features/portfolios/book-reader.ts';
import { openBooks, type BooksUnderTest } from './support/books.ts';

const begin = Date.UTC(2023, 0, 1);
const leg = (quantity: bigint) => ({ asset: 'bitcoin', quantity: quantity * oneUnit });

function transaction(day: number, sent: Partial<RecordedTransaction>): RecordedTransaction {
  return {
    id: uuidv7(),
    type: 'buy',
    at: begin + day * 86_400_000,
    sequence: 0,
    received: null,
    sent: null,
    value: oneUnit,
    fee: null,
    note: null,
    isMarketValue: false,
    isMarketFee: false,
    importId: null,
    fingerprint: null,
    ...sent,
  };
}

const sale = (day: number): RecordedTransaction => transaction(day, { type: 'sell', sent: leg(1n) });
/** Two lots, of which one is sold: which one depends on the method. */
const history = (): RecordedTransaction[] => [
  transaction(1, { received: leg(1n), value: 10n * oneUnit }),
  transaction(2, { received: leg(1n), value: 20n * oneUnit }),
  sale(3),
];

describe('a view of books', () => {
  let books: BooksUnderTest;
  before(async () => {
    books = await openBooks();
  });
  after(() => books.close());

  const readerOf = (requestUpdate: (id: string) => Promise<void>): ReturnType<typeof createBookReader> =>
    createBookReader({
      reading: books.reading,
      channel: { listen: () => () => undefined },
      requestUpdate,
      clock: systemClock,
      log: silentLogger(),
    });

  async function booked(method: CostBasisMethod): Promise<string> {
    const id = await books.newPortfolio(method);
    await books.record(id, { add: history() });
    await books.update(id);
    return id;
  }

  async function keepOtherwise(id: string, changes: object): Promise<void> {
    await createPortfolioQueries(books.knex).update({ id, changes, confirm: () => undefined });
  }

  const page = { offset: 0, limit: 10 };
  const lotsOf = async (view: BookView) => ({
    method: view.current.portfolio.method,
    version: view.current.portfolio.booksVersion,
    bases: (await view.lots(page)).lots.map(({ basis }) => basis / oneUnit),
  });

  /** Looks at lots, and has the way of keeping books changed between their standing and themselves. */
  const lookWhile = (id: string, change: () => Promise<void>) =>
    readerOf((portfolioId) => books.update(portfolioId)).read(
      { portfolioId: id, waitMs: 5_000 },
      async (view) => {
        await change();
        return await lotsOf(view);
      },
    );

  for (const [from, to] of [
    ['fifo', 'lifo'],
    ['fifo', 'average'],
    ['average', 'fifo'],
    ['uk_pool', 'hifo'],
  ] as const)
    it(`kept as ${from} has those lots though the method becomes ${to} meanwhile`, async () => {
      const id = await booked(from);
      const before = await lookWhile(id, () => Promise.resolve());
      expect(before).to.deep.include({ method: from });
      expect(before.bases).to.have.lengthOf(1);
      for (const isBooked of [false, true]) {
        const seen = await lookWhile(id, async () => {
          await keepOtherwise(id, { method: to });
          if (isBooked) await books.update(id);
        });
        expect({ ...seen, version: 0 }).to.deep.equal({ ...before, version: 0 });
        const after = await lookWhile(id, () => Promise.resolve());
        expect([after.method, after.version]).to.deep.equal([to, seen.version + 1]);
        await keepOtherwise(id, { method: from });
        await books.update(id);
      }
    });

  it('of a pool has its lots though the days become those of another time zone', async () => {
    const id = await booked('uk_pool');
    const before = await lookWhile(id, () => Promise.resolve());
    const seen = await lookWhile(id, () => keepOtherwise(id, { timeZone: 'Asia/Tokyo' }));
    expect(seen).to.deep.equal(before);
  });

  it('has the gains of its version though another disposal is booked meanwhile', async () => {
    const id = await booked('fifo');
    const read = (change: () => Promise<void>) =>
      readerOf(() => Promise.resolve()).read({ portfolioId: id, waitMs: 0 }, async (view) => {
        await change();
        const { rows, totals } = await view.realised(page);
        return [view.current.portfolio.booksVersion, rows.length, totals.count];
      });
    const seen = await read(async () => {
      await books.record(id, { add: [sale(4)] });
      await books.update(id);
    });
    expect(seen.slice(1)).to.deep.equal([1, 1]);
    expect(await read(() => Promise.resolve())).to.deep.equal([seen[0]! + 1, 2, 2]);
  });

  it('is of the books after their update when they were behind', async () => {
    const id = await booked('fifo');
    await keepOtherwise(id, { method: 'lifo' });
    const requested: string[] = [];
    const reader = readerOf(async (portfolioId) => {
      requested.push(portfolioId);
      await books.update(portfolioId);
    });
    const seen = await reader.read({ portfolioId: id, waitMs: 5_000 }, lotsOf);
    expect([seen.method, seen.bases]).to.deep.equal(['lifo', [10n]]);
    expect(requested).to.deep.equal([id]);
  });

  it('never has lots of marks that were kept in another way: they are none, until they are made anew', async () => {
    for (const method of ['fifo', 'average'] as const) {
      const id = await booked(method);
      const before = await lookWhile(id, () => Promise.resolve());
      // As an older version of the program would have left them.
      await books
        .knex('ledger_marks')
        .where({ portfolio_id: id })
        .update({ kept_as: `0 ${method}` });
      const failed: unknown = await readerOf(() => Promise.resolve())
        .read({ portfolioId: id, waitMs: 50 }, lotsOf)
        .catch((error: unknown) => error);
      expect(failed).to.be.instanceOf(UnavailableError);
      expect(failed).to.include({ code: 'books_not_current', retryAfterSeconds: 1 });
      await books.knex('portfolios').where({ id }).increment('books_version');
      const after = await lookWhile(id, () => Promise.resolve());
      expect(after).to.deep.equal({ ...before, version: before.version + 1 });
    }
  });

  it('has pages of lots across assets, the oldest of each first', async () => {
    for (const method of ['fifo', 'average'] as const) {
      const id = await books.newPortfolio(method);
      const buy = (day: number, asset: string) =>
        transaction(day, { received: { asset, quantity: oneUnit }, value: BigInt(day) * oneUnit });
      const add = [buy(5, 'aave'), buy(1, 'cardano'), buy(4, 'aave'), buy(3, 'bitcoin'), buy(2, 'cardano')];
      await books.record(id, { add });
      await books.update(id);
      const read = (offset: number, limit: number, assetId?: string) =>
        readerOf(() => Promise.resolve()).read({ portfolioId: id, waitMs: 0 }, async (view) => {
          const found = await view.lots({ offset, limit, assetId });
          return [found.total, ...found.lots.map((lot) => `${lot.assetId} ${lot.basis / oneUnit}`)];
        });
      const all =
        method === 'fifo'
          ? ['aave 4', 'aave 5', 'bitcoin 3', 'cardano 1', 'cardano 2']
          : ['aave 9', 'bitcoin 3', 'cardano 3'];
      for (let offset = 0; offset <= all.length; offset++)
        for (let limit = 1; limit <= all.length; limit++)
          expect(await read(offset, limit)).to.deep.equal([all.length, ...all.slice(offset, offset + limit)]);
      const ofCardano = all.filter((lot) => lot.startsWith('cardano'));
      expect(await read(0, 9, 'cardano')).to.deep.equal([ofCardano.length, ...ofCardano]);
    }
  });
});
