/** Updates of books next to changes, to each other, and to what goes wrong. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createJobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import { BooksBusyError, BooksChangedError } from '../../../src/features/portfolios/queries/ledgers.ts';
import { createRunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { rebuildSteps } from '../../../jobs/registry.ts';
import { oneUnit } from '../../../src/features/portfolios/ledger/amount.ts';
import type { RecordedTransaction } from '../../../src/features/portfolios/ledger/recorded-transaction.ts';
import type { JobRecord } from '../../../src/domain/job.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { UnavailableError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createBookReader } from '../../../src/features/portfolios/book-reader.ts';
import { createBooksCheck, createBooksRebuild } from '../../../workers/processors/portfolios/books.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';
import { createCancellations } from '../../../workers/processors/jobs/client-run.ts';
import { jobContext } from '../../support/job-context.ts';
import { openBooks, type BooksUnderTest } from './support/books.ts';

const begin = Date.UTC(2023, 0, 1);

/** Of `asset`, an hour after the `place`th hour of 2023. */
function purchase(place: number, asset = 'bitcoin'): RecordedTransaction {
  return {
    id: uuidv7(),
    type: 'buy',
    at: begin + place * 3_600_000,
    sequence: 0,
    received: { asset, quantity: oneUnit },
    sent: null,
    value: BigInt(place + 1) * oneUnit,
    fee: null,
    note: null,
    isMarketValue: false,
    isMarketFee: false,
    importId: null,
    fingerprint: null,
  };
}

const purchases = (count: number): RecordedTransaction[] =>
  Array.from({ length: count }, (_, place) => purchase(place, place % 2 === 0 ? 'bitcoin' : 'cardano'));

describe('updates of books', () => {
  let books: BooksUnderTest;
  before(async () => {
    books = await openBooks();
  });
  after(() => books.close());

  const current = async (id: string) => (await books.reading.find(id))!;
  const isCurrent = async (id: string): Promise<boolean> => {
    const { booksVersion, bookedVersion } = (await current(id)).portfolio;
    return booksVersion === bookedVersion;
  };

  /** Runs a job as often as it puts itself back, a few times at most. */
  async function untilDone(run: () => Promise<unknown>): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      try {
        await run();
        return;
      } catch (error) {
        if (!(error instanceof Requeue)) throw error;
      }
    }
    throw new Error('it was put back too often');
  }

  it('that run at once with changes and each other leave books that are current and right', async () => {
    const id = await books.newPortfolio('fifo');
    const all = purchases(60);
    await Promise.all(
      all.map(async (each) => {
        await books.record(id, { add: [each] });
        await untilDone(() => books.update(id));
      }),
    );
    expect(await isCurrent(id)).to.equal(true);
    const again = await books.newPortfolio('fifo');
    await books.record(again, { add: all });
    await books.update(again);
    expect(await books.projected(id)).to.deep.equal(await books.projected(again));
  }).timeout(20_000);

  it('of long histories are done again when a change came meanwhile, and lose nothing of it', async () => {
    const id = await books.newPortfolio('fifo');
    await books.record(id, { add: purchases(3_000) });
    let changes = 0;
    const late = purchase(5);
    const replays = {
      async run(...given: Parameters<BooksUnderTest['replays']['run']>) {
        // While the first snapshot is being replayed.
        if (changes++ === 0) await books.record(id, { add: [late] });
        return await books.replays.run(...given);
      },
    };
    await books.updateWith(replays, id);
    expect(changes).to.be.greaterThan(2);
    expect(await isCurrent(id)).to.equal(true);
    const found = (await current(id)).assets.find(({ assetId }) => assetId === 'bitcoin')!;
    expect(found.quantity).to.equal(1_501n * oneUnit);
  }).timeout(20_000);

  it('that see a change only behind their snapshot are void: nothing of them is stored', async () => {
    const id = await books.newPortfolio('fifo');
    await books.record(id, { add: purchases(4) });
    const before = await books.projected(id);
    const failed: unknown = await books.ledgers
      .update(id, 'optimistic', async (update) => {
        await books.record(id, { add: [purchase(9)] });
        await update.clear();
        await update.lock();
        await update.finish();
      })
      .catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(BooksChangedError);
    expect(await books.projected(id)).to.deep.equal(before);
  });

  it('take turns', async () => {
    const id = await books.newPortfolio('fifo');
    await books.record(id, { add: purchases(4) });
    await books.ledgers.update(id, 'optimistic', async () => {
      for (const mode of ['optimistic', 'locked'] as const) {
        const failed: unknown = await books.ledgers
          .update(id, mode, () => Promise.resolve())
          .catch((error: unknown) => error);
        expect(failed, mode).to.be.instanceOf(BooksBusyError);
      }
      const failed: unknown = await books.update(id).catch((error: unknown) => error);
      expect(failed).to.be.instanceOf(Requeue);
    });
    await books.update(id);
    expect(await isCurrent(id)).to.equal(true);
  });

  it('are told of once they are current, and stand when that cannot be told', async () => {
    const id = await books.newPortfolio('fifo');
    await books.record(id, { add: purchases(2) });
    books.reported.length = 0;
    await books.update(id);
    expect(books.reported).to.deep.equal([id]);
    await books.record(id, { add: [purchase(5)] });
    const deaf = { publish: () => Promise.reject(new Error('Redis is away')) };
    await books.updateWith(books.replays, id, deaf);
    expect(await isCurrent(id)).to.equal(true);
  });

  it('that were lost with Redis are found by upkeep, page by page, and deleted portfolios are not', async () => {
    await books.knex('portfolios').update({ booked_version: books.knex.ref('books_version') });
    const ids = [];
    for (let i = 0; i < 205; i++) ids.push(await books.newPortfolio('fifo'));
    const [deleted, ...behind] = ids;
    await books.knex('portfolios').whereIn('id', ids).update({ books_version: 2 });
    await books.knex('portfolios').where({ id: deleted! }).update({ deleted_at: new Date() });
    const enqueued: string[] = [];
    const check = createBooksCheck({
      ledgers: books.ledgers,
      enqueue: (id) => Promise.resolve(void enqueued.push(id)),
    });
    expect([await check(), await check()]).to.deep.equal([200, 4]);
    expect(enqueued.sort()).to.deep.equal(behind.sort());
    for (const id of behind) await books.update(id);
    expect(await check()).to.equal(0);
  }).timeout(20_000);

  describe('a reader', () => {
    const reader = (asks: string[]) => {
      const listeners = new Set<(id: string) => void>();
      const channel = {
        listen: (onBooked: (id: string) => void) => {
          listeners.add(onBooked);
          return () => listeners.delete(onBooked);
        },
      };
      const requestUpdate = (id: string) => Promise.resolve(void asks.push(id));
      const log = silentLogger();
      return createBookReader({ reading: books.reading, channel, requestUpdate, clock: systemClock, log });
    };
    const portfolioOf = (id: string) => ({ id }) as Parameters<ReturnType<typeof reader>['current']>[0];

    it('waits for books that are behind, asks for their update, and hears of it without news too', async () => {
      const id = await books.newPortfolio('fifo');
      await books.record(id, { add: purchases(4) });
      const asks: string[] = [];
      const answer = reader(asks).current(portfolioOf(id), 10_000);
      await books.update(id);
      const { assets: positions } = await answer;
      expect(positions.map(({ assetId, quantity }) => [assetId, quantity])).to.deep.equal([
        ['bitcoin', 2n * oneUnit],
        ['cardano', 2n * oneUnit],
      ]);
      expect(asks).to.deep.equal([id]);
    });

    it('is told to come back when they do not become current in time', async () => {
      const id = await books.newPortfolio('fifo');
      await books.record(id, { add: purchases(4) });
      const failed: unknown = await reader([])
        .current(portfolioOf(id), 50)
        .catch((error: unknown) => error);
      expect(failed).to.be.instanceOf(UnavailableError);
      expect((failed as UnavailableError).retryAfterSeconds).to.equal(1);
    });
  });

  describe('a rebuild', () => {
    const events: string[] = [];
    const cancellations = createCancellations();
    type Replays = Pick<BooksUnderTest['replays'], 'run'>;
    const reported: string[] = [];
    const run = async (
      id: string,
      replaysOf: (workKey: string) => Replays = () => books.replays,
    ): Promise<JobRecord> => {
      const jobs = createJobQueries(books.knex);
      const workKey = uuidv7();
      const work = { workKey, portfolioId: id, currency: 'usd', method: 'fifo' } as const;
      const row = await jobs.insert({
        id: uuidv7(),
        userId: books.userId,
        name: 'books.rebuild',
        workKey,
        submission: { currency: 'usd' },
        total: rebuildSteps,
      });
      const deps = {
        jobs,
        runs: createRunQueries(books.knex),
        events: {
          append: (_subject: string, reported: readonly { type: string }[]) => {
            events.push(...reported.map(({ type }) => type));
            return Promise.resolve();
          },
        },
        clock: systemClock,
        log: silentLogger(),
        deadlineMs: 300_000,
        abandoned: (key: string) => cancellations.watch(key),
      };
      const channel = { publish: (booked: string) => Promise.resolve(void reported.push(booked)) };
      const processor = createBooksRebuild(deps, {
        ledgers: books.ledgers,
        replays: replaysOf(workKey),
        channel,
        log: silentLogger(),
      });
      await processor(work, jobContext());
      return (await jobs.find(row!.id))!;
    };

    it('finds what was stored, and tells what there is', async () => {
      const id = await books.newPortfolio('fifo');
      await books.record(id, { add: purchases(40) });
      await books.update(id);
      const before = await books.projected(id);
      const { state, resultJson } = await run(id);
      expect(state).to.equal('completed');
      const { took_seconds: took, ...result } = JSON.parse(resultJson!);
      expect(result).to.deep.equal({ positions: 2, postings: 40, consumptions: 0, identical: true });
      expect(took).to.be.a('number');
      expect(await books.projected(id)).to.deep.equal(before);
      expect(events).to.include.members(['job.progress', 'job.completed']);
      expect(reported).to.deep.equal([id]);
    });

    it('puts right what was stored wrong, and says so', async () => {
      const id = await books.newPortfolio('fifo');
      await books.record(id, { add: purchases(40) });
      await books.update(id);
      const before = await books.projected(id);
      await books
        .knex('positions')
        .where({ portfolio_id: id, asset_id: 'cardano' })
        .update({ acquired: '1.5' });
      const { resultJson } = await run(id);
      expect(JSON.parse(resultJson!).identical).to.equal(false);
      expect(await books.projected(id)).to.deep.equal(before);
    });

    it('says nothing of books that were behind, and makes them current', async () => {
      const id = await books.newPortfolio('fifo');
      await books.record(id, { add: purchases(40) });
      const { resultJson } = await run(id);
      expect(JSON.parse(resultJson!).identical).to.equal(null);
      expect(await isCurrent(id)).to.equal(true);
    });

    it('that is cancelled leaves everything as it was', async () => {
      const id = await books.newPortfolio('fifo');
      await books.record(id, { add: purchases(40) });
      await books.update(id);
      await books
        .knex('positions')
        .where({ portfolio_id: id, asset_id: 'cardano' })
        .update({ acquired: '1.5' });
      const { state } = await run(id, (workKey) => ({
        async run(...given) {
          await books.knex('jobs').where({ work_key: workKey }).update({ state: 'cancelled' });
          cancellations.abandon(workKey);
          return await books.replays.run(...given);
        },
      }));
      expect(state).to.equal('cancelled');
      const wrong = (await current(id)).assets.find(({ assetId }) => assetId === 'cardano')!;
      expect(wrong.tally.acquired).to.equal((3n * oneUnit) / 2n);
    });

    it('of a portfolio that was deleted fails, and is not tried again', async () => {
      const id = await books.newPortfolio('fifo');
      await books.knex('portfolios').where({ id }).update({ deleted_at: new Date() });
      const { state, error } = await run(id);
      expect([state, error?.code]).to.deep.equal(['failed', 'portfolio_not_found']);
    });
  });
});
