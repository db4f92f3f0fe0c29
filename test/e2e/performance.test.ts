/** Performance through whole processes: transactions by the API, figures by a worker, prices of the past and of now. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDatabase } from '../../db/connection.ts';
import { createCandlePartitions } from '../../src/features/history/queries/candle-partitions.ts';
import { createCandleQueries } from '../../src/features/history/queries/candles.ts';
import { importExport } from '../../src/features/history/import-export.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { newUser } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';

const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
const dateOf = (daysAgo: number): string => new Date(today - daysAgo * dayMs).toISOString().slice(0, 10);

describe('performance', function () {
  this.timeout(120_000);
  let stack: Stack;

  before(async () => {
    stack = await startStack();
  });
  after(() => stack.stop());

  /** A hundred days at 100, and ten thereof missing. */
  async function importCloses(): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'closes-'));
    const knex = openDatabase({ database: { connectionString: stack.databaseUrl, ssl: false }, poolSize: 2 });
    try {
      const path = join(folder, 'bitcoin-usd.csv');
      const days = Array.from({ length: 100 }, (_, index) => 100 - index).filter(
        (day) => day > 60 || day <= 50,
      );
      const rows = days.map((day) => `${dateOf(day)} 00:00:00 UTC,100,1,1`);
      await writeFile(path, `snapped_at,price,market_cap,total_volume\n${rows.join('\n')}\n`);
      const parts = { candles: createCandleQueries(knex), partitions: createCandlePartitions(knex) };
      await importExport({ ...parts, clock: systemClock }, { path, assetId: 'bitcoin', currency: 'usd' });
    } finally {
      await knex.destroy();
      await rm(folder, { recursive: true });
    }
  }

  it('is computed by a worker, answered again from what was computed, and anew after a change', async () => {
    await importCloses();
    const joe = await newUser(stack.apis[0]!.url);
    const made = await joe.call('POST', '/portfolios', { body: { name: 'books' } });
    expect(made.status).to.equal(201);
    const portfolio = `/portfolios/${made.body!.data.id as string}`;
    const buy = (daysAgo: number, value: string) =>
      joe.call('POST', `${portfolio}/transactions`, {
        body: {
          type: 'buy',
          executed_at: `${dateOf(daysAgo)}T12:00:00Z`,
          received: { asset: 'bitcoin', quantity: '1' },
          value,
        },
      });
    expect((await buy(90, '80')).status).to.equal(201);

    const path = `${portfolio}/performance?range=max`;
    const first = await joe.call('GET', path, { headers: { prefer: 'wait=10' } });
    expect(first.status).to.equal(200);
    const reported = first.body!.data;
    expect(reported).to.include({ from: dateOf(90), to: dateOf(0), days: 91, cash_in: '80', inflow: 80 });
    // Ten days are missing in the export, and today has no quote yet.
    expect(reported.prices.days_carried).to.equal(11);
    expect(reported.twr.value).to.be.closeTo(0.25, 1e-12);
    expect(reported.xirr.value).to.be.closeTo(1.25 ** (365 / 90) - 1, 1e-9);
    expect(reported.history_asked_for).to.deep.equal(['bitcoin']);

    const tag = first.headers.get('etag')!;
    const again = await joe.call('GET', path, { headers: { 'if-none-match': tag } });
    expect(again.status).to.be.oneOf([200, 304]);
    const jobs = await joe.call('GET', '/jobs');
    // One, unless five minutes have ended in between.
    expect(jobs.body!.data.total).to.be.within(1, again.status === 304 ? 1 : 2);

    expect((await buy(30, '100')).status).to.equal(201);
    const changed = await joe.call('GET', path, { headers: { prefer: 'wait=10' } });
    expect(changed.body!.data).to.include({ inflow: 180 });
    expect(changed.body!.data.books_version).to.be.above(reported.books_version as number);

    const submitted = await joe.call('POST', `${portfolio}/performance`, { body: { range: '30d' } });
    expect(submitted.status).to.equal(202);
    const ended = await joe.jobEnd(submitted.body!.data.id as string);
    expect(ended).to.include({ state: 'completed', name: 'performance.compute' });
    expect(ended.progress).to.deep.equal({ done: 4, total: 4 });
    expect(ended.result).to.include({ range: '30d', days: 30 });
  });
});
