/** The job that computes performance, over real tables: what it reads, how it ends, and what is not computed twice. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { parseAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import type { Portfolio } from '../../../src/features/portfolios/ledger/portfolio.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { createRequestCloses } from '../../../src/features/history/request-closes.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createClientJobs } from '../../../src/features/jobs/job-service.ts';
import type { JobData } from '../../../jobs/registry.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';
import { openPerformanceRuns, type PerformanceRuns } from '../../support/performance-run.ts';

interface Statistic {
  value: number | null;
  reason: string | null;
}

interface Reported extends Record<'twr' | 'gain' | 'start_value' | 'end_value' | 'roi', Statistic> {
  from: string;
  to: string;
  days: number;
  books_version: number;
  cash_in: string;
  cash_out: string;
  inflow: number;
  prices: { days_carried: number; days_unknown: number };
  benchmark: Reported;
  history_asked_for: string[];
}

const day = (text: string): number => Date.parse(`${text}T00:00:00Z`);

function buy(asset: string, when: string, [quantity, value]: readonly [string, string]): Transaction {
  const received = { asset, quantity: parseAmount(quantity)! };
  return {
    id: uuidv7(),
    type: 'buy',
    at: Date.parse(when),
    sequence: 0,
    received,
    sent: null,
    value: parseAmount(value)!,
    fee: null,
  };
}

describe('the job that computes performance', () => {
  let runs: PerformanceRuns;
  let folder: string;

  before(async () => {
    // Everything in threads, as large portfolios are.
    runs = await openPerformanceRuns(0);
    folder = await mkdtemp(join(tmpdir(), 'closes-'));
    await closes(
      'coin',
      ['2022-01-01', '100'],
      ['2022-01-02', '110'],
      ['2022-01-03', '121'],
      ['2022-01-05', '99'],
    );
    await closes('bitcoin', ['2022-01-01', '10'], ['2022-01-05', '20']);
  });
  beforeEach(() => {
    runs.now = day('2022-01-05') + 43_200_000;
    runs.quotes.clear();
    runs.reported.length = 0;
  });
  after(async () => {
    await runs.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function closes(asset: string, ...rows: [string, string][]): Promise<void> {
    const path = join(folder, `${asset}-usd.csv`);
    const lines = rows.map(([date, price]) => `${date} 00:00:00 UTC,${price},1,1`);
    await writeFile(path, `snapped_at,price,market_cap,total_volume\n${lines.join('\n')}\n`);
    await runs.importFile(path, asset);
  }

  async function withOneCoin(timeZone?: string): Promise<Portfolio> {
    const portfolio = await runs.portfolio(timeZone === undefined ? {} : { timeZone });
    await runs.record(portfolio, [buy('coin', '2022-01-01T20:00:00Z', ['2', '200.000000000000000001'])]);
    return portfolio;
  }

  async function reportedOf(
    portfolio: Portfolio,
    different: Parameters<typeof runs.work>[1] = {},
  ): Promise<Reported> {
    const work = runs.work(portfolio, different);
    const { state, resultJson } = await runs.run(work, await runs.submit(work));
    expect(state).to.equal('completed');
    return JSON.parse(resultJson!) as Reported;
  }

  it('tells figures, exact totals of cash, and the version of the books that it read', async () => {
    const reported = await reportedOf(await withOneCoin());
    expect(reported).to.include({
      from: '2022-01-01',
      to: '2022-01-05',
      days: 5,
      books_version: 2,
      cash_in: '200.000000000000000001',
      cash_out: '0',
      inflow: 200,
    });
    expect(reported.twr.value).to.be.closeTo(-0.01, 1e-12);
    expect(reported.benchmark.twr.value).to.be.closeTo(1, 1e-12);
    expect(reported.prices).to.include({ days_carried: 1, days_unknown: 0 });
    expect(runs.reported).to.include.members(['job.progress', 'job.completed']);
  });

  it('begins a range with the value of the day before it', async () => {
    const reported = await reportedOf(await withOneCoin(), { range: '1d' });
    expect(reported).to.include({ from: '2022-01-05', days: 1, cash_in: '0' });
    expect(reported.start_value.value).to.equal(242);
    expect(reported.twr.value).to.be.closeTo(99 / 121 - 1, 1e-12);
    expect(reported.benchmark.twr.value).to.be.closeTo(1, 1e-12);
  });

  it('finds the last price before a range however old it is', async () => {
    const portfolio = await withOneCoin();
    runs.now = day('2022-06-30') + 1_000;
    const reported = await reportedOf(portfolio, { range: '7d' });
    expect(reported.start_value.value).to.equal(198);
    expect(reported.prices).to.include({ days_carried: 7, days_unknown: 0 });
    expect(reported.gain).to.deep.equal({ value: 0, reason: null });
  });

  it('takes the quote of today, and not one of yesterday', async () => {
    const portfolio = await withOneCoin();
    runs.quotes.set('coin', { price: 150, receivedAt: runs.now - 60_000 });
    expect((await reportedOf(portfolio)).end_value.value).to.equal(300);
    runs.quotes.set('coin', { price: 150, receivedAt: day('2022-01-04') + 1 });
    expect((await reportedOf(portfolio)).end_value.value).to.equal(198);
  });

  it('counts days by the time zone of the portfolio', async () => {
    const reported = await reportedOf(await withOneCoin('Asia/Tokyo'));
    expect(reported).to.include({ from: '2022-01-02', to: '2022-01-05', days: 4 });
    // Bought for 200 on a day that ended at 110.
    expect(reported.twr.value).to.be.closeTo(198 / 200 - 1, 1e-9);
  });

  it('has no figures for an empty portfolio, and says why', async () => {
    const reported = await reportedOf(await runs.portfolio());
    expect(reported).to.include({ from: '2022-01-05', days: 1, books_version: 1 });
    expect(reported.twr).to.deep.equal({ value: null, reason: 'no_capital' });
    expect(reported.roi).to.deep.equal({ value: null, reason: 'no_capital' });
    expect(reported.end_value).to.deep.equal({ value: 0, reason: null });
  });

  it('does not know the value of what never had a price', async () => {
    const portfolio = await withOneCoin();
    await runs.record(portfolio, [buy('nameless', '2022-01-04T00:00:00Z', ['1', '1'])]);
    const reported = await reportedOf(portfolio);
    expect(reported.end_value).to.deep.equal({ value: null, reason: 'value_unknown' });
    expect(reported.prices).to.include({ days_unknown: 2 });
  });

  it('leaves out what is dated behind its day', async () => {
    const portfolio = await withOneCoin();
    await runs.record(portfolio, [buy('coin', '2022-01-06T12:00:00Z', ['1', '1'])]);
    expect(await reportedOf(portfolio)).to.include({
      to: '2022-01-05',
      inflow: 200,
      cash_in: '200.000000000000000001',
    });
  });

  it('fails for a portfolio that is gone, and is not tried again', async () => {
    const portfolio = await withOneCoin();
    await runs.store.knex('portfolios').where({ id: portfolio.id }).update({ deleted_at: new Date() });
    const work = runs.work(portfolio);
    const { state, error } = await runs.run(work, await runs.submit(work), { isLastAttempt: false });
    expect(state).to.equal('failed');
    expect(error?.code).to.equal('portfolio_not_found');
  });

  it('fails at once for a range that would take more memory than a job may have', async () => {
    const portfolio = await withOneCoin();
    const { readBooks } = runs.deps;
    const many = Array.from({ length: 3_000 }, (_, asset) => `coin-${asset}`);
    const huge = {
      booksVersion: 1,
      transfers: [],
      costBasis: null,
      cash: { days: [], inflows: [], outflows: [] },
    };
    const assets = many.map((assetId) => ({ assetId, days: [14_245], changes: ['1'] }));
    Object.assign(runs.deps, { readBooks: () => Promise.resolve({ ...huge, assets }) });
    try {
      const work = runs.work(portfolio);
      const row = await runs.submit(work);
      const { state, error, errorStatus } = await runs.run(work, row, { isLastAttempt: false });
      expect([state, error?.code, errorStatus]).to.deep.equal(['failed', 'range_too_large', 422]);
    } finally {
      Object.assign(runs.deps, { readBooks });
    }
  });

  it('stops between its steps when nobody waits any more, or the process ends', async () => {
    const portfolio = await withOneCoin();
    const work = runs.work(portfolio);
    const row = await runs.submit(work);
    const { readBooks } = runs.deps;
    let reads = 0;
    const deps = { ...runs.deps, closes: runs.deps.closes };
    Object.assign(runs.deps, {
      readBooks: async (...requested: Parameters<typeof readBooks>) => {
        await runs.jobs.cancel(row.id);
        runs.cancellations.abandon(work.workKey);
        return await readBooks(...requested);
      },
      closes: (requested: Parameters<typeof deps.closes>[0]) => {
        reads += 1;
        return deps.closes(requested);
      },
    });
    try {
      expect((await runs.run(work, row)).state).to.equal('cancelled');
      expect(reads).to.equal(0);
      Object.assign(runs.deps, { readBooks });
      const ending = AbortSignal.abort(new Requeue('the process is stopping'));
      const again = await runs.submit({ ...work, workKey: `${work.workKey}-2` });
      const put = await runs
        .run({ ...work, workKey: `${work.workKey}-2` }, again, { waitSignal: ending })
        .catch((error: unknown) => error);
      expect(put).to.be.instanceOf(Requeue);
      expect((await runs.jobs.find(again.id))?.state).to.equal('queued');
    } finally {
      Object.assign(runs.deps, { readBooks, closes: deps.closes });
    }
  });

  describe('asked for twice', () => {
    const submissionOf = (portfolio: Portfolio) => {
      const { workKey, ...submission } = runs.work(portfolio);
      expect(workKey).to.be.a('string');
      return submission;
    };

    function clientJobsOf() {
      const added: unknown[] = [];
      const clientJobs = createClientJobs({
        jobs: runs.jobs,
        queues: { add: (...job: unknown[]) => Promise.resolve(void added.push(job)) } as never,
        clock: { now: () => runs.now },
        log: silentLogger(),
        backlogLimit: 100,
        backlogPerUser: 100,
        portfolioJobsPerUser: 20,
        onAccepted: () => undefined,
        abandon: () => Promise.resolve(),
        announceCancel: () => Promise.resolve(),
        onJobEnd: () => Promise.resolve(() => undefined),
        forecast: () => Promise.resolve(null),
      });
      return { clientJobs, added };
    }

    it('is one job while it runs and afterwards, of the same user, version and moment only', async () => {
      const portfolio = await withOneCoin();
      const { clientJobs, added } = clientJobsOf();
      const submission = submissionOf(portfolio);
      const name = 'performance.compute';
      expect(await clientJobs.sameWork(runs.userId, name, submission)).to.equal(undefined);
      const row = await clientJobs.submit({ userId: runs.userId, name, submission, total: 4 });
      expect((await clientJobs.sameWork(runs.userId, name, submission))?.id).to.equal(row.id);
      const [[, data, options]] = added as [
        [string, JobData<typeof name>, { deduplication: { id: string } }],
      ];
      expect(options.deduplication.id).to.equal(row.workKey);
      await runs.run(data, row);
      const found = await clientJobs.sameWork(runs.userId, name, submission);
      expect(found).to.include({ id: row.id, state: 'completed' });
      expect(JSON.parse(found!.resultJson!)).to.include({ portfolio_id: portfolio.id });
      expect(await clientJobs.sameWork(uuidv7(), name, submission)).to.equal(undefined);
      const other = { ...submission, booksVersion: '99' };
      expect(await clientJobs.sameWork(runs.userId, name, other)).to.equal(undefined);
    });

    it('is computed anew when the result is gone or the job was cancelled', async () => {
      const portfolio = await withOneCoin();
      const { clientJobs } = clientJobsOf();
      const submission = submissionOf(portfolio);
      const name = 'performance.compute';
      const row = await clientJobs.submit({ userId: runs.userId, name, submission, total: 4 });
      await clientJobs.cancel(row.id, { userId: runs.userId, role: 'user' });
      expect(await clientJobs.sameWork(runs.userId, name, submission)).to.equal(undefined);
    });
  });

  describe('prices that are missing for long', () => {
    it('are asked for without haste, the worst first, five assets at most, and once', async () => {
      const enqueued: JobData<'history.backfill'>[] = [];
      const now = day('2022-03-31');
      const ask = createRequestCloses({
        candles: runs.store.candles,
        asks: runs.store.asks,
        enqueue: (wanted) => Promise.resolve(void enqueued.push(wanted)),
        clock: { now: () => now },
        log: silentLogger(),
      });
      const span = { currency: 'usd', from: day('2022-01-01'), to: day('2022-03-01') - 1 };
      const lacking = [7, 8, 9, 10, 11, 12, 6].map((days) => ({ assetId: `lacking-${days}`, days }));
      const wanted = { ...span, lacking, requester: runs.userId };
      const names = [12, 11, 10, 9, 8].map((days) => `lacking-${days}`);
      expect(await ask(wanted)).to.deep.equal(names);
      expect(enqueued.map(({ assetId }) => assetId)).to.deep.equal(names);
      expect(enqueued[0]).to.include({ urgency: 'backfill', granularity: '1d', requester: runs.userId });
      const answered = { outcome: 'answered', points: 0, validMs: 86_400_000_000 } as const;
      for (const assetId of names)
        await runs.store.asks.note({ assetId, granularity: '1d', ...span, ...answered });
      expect(await ask({ ...wanted, lacking: lacking.filter(({ days }) => days > 7) })).to.deep.equal([]);
    });
  });
});
