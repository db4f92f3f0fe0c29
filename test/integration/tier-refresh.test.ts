import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { Knex } from 'knex';
import { openDatabase } from '../../db/connection.ts';
import {
  createUpstreamCallLog,
  type UpstreamCallLog,
} from '../../src/features/upstream/queries/upstream-calls.ts';
import { startMarket, type Market } from '../../embedded/market/market.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import type { Budget } from '../../src/features/upstream/budget/budget.ts';
import { budgetKeys, createRedisBudget } from '../../src/features/upstream/budget/redis-budget.ts';
import { createCoinGeckoProvider } from '../../src/features/upstream/coingecko/coingecko-provider.ts';
import type { PriceProvider } from '../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../src/features/upstream/request-limiter-contract.ts';
import { createRequestLimiter } from '../../src/features/upstream/request-limiter.ts';
import { checkTier, refreshTier } from '../../workers/processors/upstream/tier.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

const log = silentLogger();

describe('the tier that the provider tells', function () {
  this.timeout(30_000);
  const prefix = uniquePrefix();
  let database: TestDatabase;
  let knex: Knex;
  let redis: Redis;
  let callLog: UpstreamCallLog;
  let market: Market;
  let provider: PriceProvider;
  let budget: Budget;
  let limiter: RequestLimiter;
  let added: string[];

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 4 });
    redis = new Redis((await services()).redisUrl, { maxRetriesPerRequest: 1 });
    callLog = createUpstreamCallLog(knex);
    market = await startMarket({ madeUpAssets: 10, callsPerMinute: 77, monthlyCredits: 5_000 });
    provider = createCoinGeckoProvider({
      baseUrl: market.url,
      plan: 'pro',
      apiKey: 'pro-key',
      timeoutMs: 5_000,
      maxBodyBytes: 1_000_000,
      clock: systemClock,
    });
    const assumed = { limit: true, month: true };
    budget = createRedisBudget({ redis, callLog, log, prefix, key: 'pro', limit: 30, assumed });
    limiter = createRequestLimiter({ budget, log });
  });
  beforeEach(async () => {
    market.clearFaults();
    await flushPrefix(redis, prefix);
    await knex('budget_tiers').delete();
    await knex('upstream_calls').delete();
    added = [];
  });
  after(async () => {
    await limiter.stop();
    await provider.close();
    await market.close();
    await flushPrefix(redis, prefix);
    redis.disconnect();
    await knex.destroy();
    await database.drop();
  });

  const { signal } = new AbortController();
  const context: JobContext = {
    jobId: 'tier',
    addedAt: Date.now(),
    start: 1,
    isLastAttempt: true,
    signal,
    waitSignal: signal,
    callSignal: signal,
    releaseDeduplication: () => Promise.resolve(),
  };
  const refresh = (): Promise<{ readonly reported: boolean }> =>
    refreshTier({ provider, limiter, budget, log }, context);
  const check = (): Promise<boolean> =>
    checkTier({
      redis,
      queues: {
        add: (name) => {
          added.push(name);
          return Promise.resolve();
        },
      },
      attemptKey: `${prefix}:asked`,
      reportedAgoMs: () => callLog.reportedAgoMs('pro'),
    });

  it('becomes the limit of the fleet, and is paid for', async () => {
    expect(await budget.status()).to.deep.include({ fullLimit: 30, month: null });
    expect(await refresh()).to.deep.equal({ reported: true });
    const { fullLimit, month } = await budget.status();
    expect([fullLimit, month?.credits]).to.deep.equal([77, 5_000]);
    expect(month?.spent).to.be.at.least(1);
    const { log: calls, state } = budgetKeys(prefix, 'pro');
    await redis.del(calls, state);
    expect((await budget.status()).fullLimit, 'after Redis was wiped').to.equal(77);
  });

  it('is asked for when it was never told, once, and then a day later', async () => {
    expect(await check()).to.equal(true);
    expect(await check(), 'an attempt was made just now').to.equal(false);
    await redis.del(`${prefix}:asked`);
    await refresh();
    expect(await check(), 'it was told just now').to.equal(false);
    await knex('budget_tiers').update({ told_at: knex.raw("clock_timestamp() - interval '25 hours'") });
    expect(await check()).to.equal(true);
    expect(added).to.deep.equal(['tier.refresh', 'tier.refresh']);
  });

  it('stays what it was when the answer cannot be used', async () => {
    await refresh();
    const useless: PriceProvider = { ...provider, fetchDocument: () => Promise.resolve('["no object"]') };
    expect(await refreshTier({ provider: useless, limiter, budget, log }, context)).to.deep.equal({
      reported: false,
    });
    expect((await budget.status()).fullLimit).to.equal(77);
  });
});
