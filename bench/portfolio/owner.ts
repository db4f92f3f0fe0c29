/** A portfolio with many transactions, and what its owner does with it over HTTP. */
import type { CostBasisMethod } from '../../src/domain/bookkeeping.ts';
import { v7 as uuidv7 } from 'uuid';
import type { Knex } from 'knex';
import { openBookChange } from '../../src/features/portfolios/queries/write-transactions.ts';
import type { Transaction } from '../../src/features/portfolios/ledger/transaction.ts';
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { newUser, type ApiAnswer, type ApiClient } from '../../test/support/api-client.ts';
import { tradedAssets } from '../support/trades.ts';

/** Result of a rebuild. */
export interface Rebuilt {
  readonly tookMs: number;
  readonly identical: boolean | null;
  readonly consumptions: number;
  readonly postings: number;
}

export interface Owner {
  readonly client: ApiClient;
  readonly portfolioId: string;
  /** Writes transactions as an import does. Returns milliseconds. */
  load(knex: Knex, transactions: readonly Transaction[]): Promise<number>;
  /** Waits until the books are current. Returns milliseconds. */
  current(): Promise<number>;
  /** By `POST /rebuild` and its job. */
  rebuild(): Promise<Rebuilt>;
  /** One purchase at a moment: milliseconds until it is answered, and until the positions that hold it are. */
  buy(at: number): Promise<{ readonly answeredMs: number; readonly currentMs: number }>;
  /** Milliseconds of a read. */
  read(path: string, headers?: Record<string, string>): Promise<{ tookMs: number; answer: ApiAnswer }>;
}

const batchSize = 5_000;
const patienceMs = 60_000;

/** Makes a user with an empty portfolio. */
export async function newOwner(url: string, method: CostBasisMethod): Promise<Owner> {
  const client = await newUser(url);
  const made = await client.call('POST', '/portfolios', { body: { name: 'bench', method } });
  const portfolioId = (made.body?.data as { id: string }).id;
  const path = `/portfolios/${portfolioId}`;

  const read: Owner['read'] = async (below, headers = {}) => {
    const startedAt = performance.now();
    const answer = await client.call('GET', path + below, { headers, timeoutMs: patienceMs });
    return { tookMs: performance.now() - startedAt, answer };
  };
  const current = async (): Promise<number> => {
    const startedAt = performance.now();
    while ((await read('/positions')).answer.status !== 200) {
      if (performance.now() - startedAt > patienceMs) throw new Error('the books do not become current');
      await sleep(1);
    }
    return performance.now() - startedAt;
  };
  return {
    client,
    portfolioId,
    read,
    current,
    load: (knex, transactions) => load(knex, portfolioId, transactions),
    async rebuild() {
      const startedAt = performance.now();
      const headers = { prefer: 'wait=60' };
      const body = {};
      const options = { body, headers, timeoutMs: patienceMs };
      const answer = await client.call('POST', `${path}/rebuild`, options);
      const tookMs = performance.now() - startedAt;
      if (answer.status !== 200) throw new Error(`rebuild: ${answer.status} ${JSON.stringify(answer.body)}`);
      return { ...(answer.body?.data as Omit<Rebuilt, 'tookMs'>), tookMs };
    },
    async buy(at) {
      const startedAt = performance.now();
      const answer = await client.call('POST', `${path}/transactions`, { body: purchase(at) });
      const answeredMs = performance.now() - startedAt;
      if (answer.status !== 201) throw new Error(`buy: ${answer.status} ${JSON.stringify(answer.body)}`);
      await current();
      return { answeredMs, currentMs: performance.now() - startedAt };
    },
  };
}

async function load(knex: Knex, portfolioId: string, transactions: readonly Transaction[]): Promise<number> {
  const startedAt = performance.now();
  await knex.transaction(async (trx) => {
    const change = await openBookChange(trx, { portfolioId, limit: 1_000_000 });
    for (let at = 0; at < transactions.length; at += batchSize)
      await change.add(transactions.slice(at, at + batchSize).map(recorded));
    await change.settle();
  });
  return performance.now() - startedAt;
}

function recorded(transaction: Transaction) {
  return {
    ...transaction,
    note: null,
    isMarketValue: false,
    isMarketFee: false,
    importId: null,
    fingerprint: null,
  };
}

function purchase(at: number): object {
  return {
    id: uuidv7(),
    type: 'buy',
    executed_at: new Date(at).toISOString(),
    received: { asset: tradedAssets[0], quantity: '1' },
    value: '1',
  };
}
