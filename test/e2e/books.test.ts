/** Books through whole processes: transactions by the API, books by workers, one of which dies in the middle of a rebuild. */
import { expect } from 'chai';
import { openDatabase } from '../../db/connection.ts';
import { openBookChange } from '../../src/features/portfolios/queries/write-transactions.ts';
import { oneUnit } from '../../src/features/portfolios/ledger/amount.ts';
import { v7 as uuidv7 } from 'uuid';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

const size = 24_000;
const assets = 12;
const begin = Date.UTC(2020, 0, 1);

describe('books', function () {
  this.timeout(120_000);
  let stack: Stack;
  let joe: ApiClient;
  let path: string;

  before(async () => {
    stack = await startStack();
    joe = await newUser(stack.apis[0]!.url);
  });
  after(() => stack.stop());
  beforeEach(async () => {
    const made = await joe.call('POST', '/portfolios', { body: { name: 'books' } });
    path = `/portfolios/${made.body!.data.id as string}`;
  });

  it('are current for whoever reads them behind a change', async () => {
    for (let count = 1; count <= 5; count++) {
      const body = {
        type: 'buy',
        executed_at: `2024-01-0${6 - count}T12:00:00Z`,
        received: { asset: 'bitcoin', quantity: '1' },
        value: '100',
      };
      expect((await joe.call('POST', `${path}/transactions`, { body })).status).to.equal(201);
      const { body: answer } = await joe.call('GET', `${path}/positions`);
      expect(answer!.data.positions[0]).to.include({ quantity: String(count), open_lots: count });
    }
  });

  /** Two purchases and a sale of one, again and again. */
  async function load(): Promise<void> {
    const knex = openDatabase({ database: { connectionString: stack.databaseUrl, ssl: false }, poolSize: 1 });
    const transactions = Array.from({ length: size }, (_, index) => {
      const isSale = index % (3 * assets) >= 2 * assets;
      const leg = { asset: `asset-${index % assets}`, quantity: oneUnit };
      return {
        id: uuidv7(),
        type: isSale ? ('sell' as const) : ('buy' as const),
        at: begin + index * 60_000,
        sequence: 0,
        received: isSale ? null : leg,
        sent: isSale ? leg : null,
        value: BigInt(index + 1) * oneUnit,
        fee: null,
        note: null,
        isMarketValue: false,
        isMarketFee: false,
        importId: null,
        fingerprint: null,
      };
    });
    try {
      await knex.transaction(async (trx) => {
        const change = await openBookChange(trx, { portfolioId: path.split('/').at(-1)!, limit: size });
        for (let at = 0; at < size; at += 5_000) await change.add(transactions.slice(at, at + 5_000));
        await change.settle();
      });
    } finally {
      await knex.destroy();
    }
  }

  it('are rebuilt although the worker is killed in the middle, and are what they were', async () => {
    await load();
    const positions = async (): Promise<unknown> => {
      const { status, body } = await joe.call('GET', `${path}/positions`);
      return status === 200 ? body!.data : undefined;
    };
    await waitFor(async () => (await positions()) !== undefined, {
      what: 'the first books',
      timeoutMs: 60_000,
    });
    const before = await positions();
    const accepted = await joe.call('POST', `${path}/rebuild`, { body: {} });
    const id = accepted.body!.data.id as string;
    const progress = async (): Promise<{ state: string; progress: { done: number } }> =>
      (await joe.call('GET', `/jobs/${id}`)).body!.data;
    await waitFor(async () => (await progress()).progress.done > 0, {
      what: 'the middle of the rebuild',
      timeoutMs: 60_000,
    });
    stack.workers[0]!.kill('SIGKILL');
    await stack.workers[0]!.exited;
    expect((await progress()).state).to.equal('running');
    // Nothing half done is seen.
    expect(await positions()).to.deep.equal(before);
    await stack.startWorker();
    const ended = await joe.jobEnd(id, 25_000);
    expect(ended.state).to.equal('completed');
    expect(ended.result).to.include({ identical: true, positions: assets, postings: size });
    expect(await positions()).to.deep.equal(before);
  });
});
