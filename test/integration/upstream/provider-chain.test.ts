import { expect } from 'chai';
import { Redis } from 'ioredis';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createRedisBudget } from '../../../src/features/upstream/budget/redis-budget.ts';
import { createCircuitBreaker, readBreaker } from '../../../src/features/upstream/circuit-breaker.ts';
import { createCoinGeckoProvider } from '../../../src/features/upstream/coingecko/coingecko-provider.ts';
import { createDefiLlamaProvider } from '../../../src/features/upstream/defillama/defillama-provider.ts';
import {
  BudgetWaitError,
  ProviderConnectionError,
  ProviderRateLimitError,
} from '../../../src/features/upstream/provider-errors.ts';
import {
  askNext,
  createProviderChain,
  ProviderOpenError,
  type ChainMember,
  type ProviderChain,
} from '../../../src/features/upstream/provider-chain.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { createRequestLimiter } from '../../../src/features/upstream/request-limiter.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { createMemoryLedger } from './memory-ledger.ts';

const prefix = uniquePrefix();
const log = silentLogger();
const common = { timeoutMs: 1_500, maxBodyBytes: 5_000_000, clock: systemClock } as const;
const failures = 3;

describe('a chain of price sources', () => {
  let redis: Redis;
  /** What the first source talks to, and what the second does. */
  let [upper, lower]: [Market, Market] = [undefined!, undefined!];
  let members: [ChainMember, ChainMember];
  let keys: string[];
  let chain: ProviderChain;
  let count = 0;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
    [upper, lower] = [await startMarket({ seed: 1 }), await startMarket({ seed: 2 })];
  });
  beforeEach(() => {
    for (const market of [upper, lower]) {
      market.clearFaults();
      market.resetCalls();
    }
    keys = [];
    members = [
      memberOf(createCoinGeckoProvider({ ...common, plan: 'keyless', baseUrl: upper.url }), 20),
      memberOf(createDefiLlamaProvider({ ...common, baseUrl: lower.defiLlamaUrl }), 20),
    ];
    chain = createProviderChain({ members, failoverMs: 300 });
  });
  afterEach(async () => {
    for (const { limiter, provider } of members) {
      await limiter.stop();
      await provider.close();
    }
  });
  after(async () => {
    await flushPrefix(redis, prefix);
    await redis.quit();
    await Promise.all([upper.close(), lower.close()]);
  });

  function memberOf(provider: PriceProvider, limit: number): ChainMember {
    const key = `${prefix}-${(count += 1)}`;
    keys.push(key);
    const callLog = createMemoryLedger(() => Date.now());
    const budget = createRedisBudget({ redis, callLog, log, prefix, key, limit });
    const breaker = createCircuitBreaker({
      redis,
      log,
      name: provider.source,
      key,
      failures,
      firstMs: 60_000,
      longestMs: 120_000,
    });
    return { provider, limiter: createRequestLimiter({ budget, log }), breaker };
  }

  async function sourceOf(currency = 'usd', urgency: 'interactive' | 'warming' = 'interactive') {
    const signal = new AbortController().signal;
    const request = {
      urgency,
      maxWaitMs: 1_000,
      signal,
      can: (provider: PriceProvider) => provider.serves?.(currency) ?? true,
    };
    const result = await chain.run(request, (grant, { provider }) =>
      provider.fetchQuotes({ ids: ['bitcoin'], currency, signal: grant.signal }),
    );
    return result?.quotes[0]?.source;
  }
  const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('asks the first source, and nobody else', async () => {
    expect(await sourceOf()).to.equal('coingecko');
    expect([upper.callCount(), lower.callCount()]).to.deep.equal([1, 0]);
  });

  for (const fault of [
    'server-error',
    'reset-before',
    'invalid-json',
    'rate-limited',
    'key-missing',
  ] as const) {
    it(`goes on to the next one after ${fault}, whose name the quote carries`, async () => {
      upper.inject(fault);
      expect(await sourceOf()).to.equal('defillama');
      expect([upper.callCount(), lower.callCount()]).to.deep.equal([1, 1]);
    });
  }

  it('does not wait for a source that hangs while another is left', async () => {
    upper.inject('hang');
    const startedAt = performance.now();
    expect(await sourceOf()).to.equal('defillama');
    expect(performance.now() - startedAt).to.be.below(common.timeoutMs);
  });

  it('gives a source its whole time for what is not urgent', async () => {
    upper.setLatency(600);
    expect(await sourceOf('usd', 'warming')).to.equal('coingecko');
    expect(await sourceOf()).to.equal('defillama');
    upper.setLatency(0);
  });

  it('never converts: a currency that only the first prices in has no other source', async () => {
    upper.inject('server-error');
    expect(await failureOf(sourceOf('eur'))).to.be.instanceOf(ProviderConnectionError);
    expect(lower.callCount()).to.equal(0);
  });

  it('calls a source that fails no more, until its pause is over', async () => {
    upper.inject('server-error', { count: Infinity });
    for (let n = 0; n < failures; n += 1) await sourceOf();
    for (let n = 0; n < 3; n += 1) expect(await sourceOf()).to.equal('defillama');
    expect(upper.callCount()).to.equal(failures);
    expect(await readBreaker(redis, keys[0]!)).to.include({ state: 'open' });
    expect(await readBreaker(redis, keys[1]!)).to.include({ state: 'closed' });
    expect(await failureOf(sourceOf('eur'))).to.be.instanceOf(ProviderOpenError);
  });

  it('goes back to the first when its probe succeeds', async () => {
    upper.inject('server-error', { count: failures });
    for (let n = 0; n < failures; n += 1) await sourceOf();
    await redis.hset(keys[0]!, 'until', 1);
    expect(await sourceOf()).to.equal('coingecko');
    expect(await readBreaker(redis, keys[0]!)).to.deep.equal({ state: 'closed', failures: 0, retryInMs: 0 });
  });

  it('is not misled by answers that are no failures: an unknown currency, a limit, too long a list', async () => {
    upper.inject('uri-too-long', { count: failures });
    for (let n = 0; n < failures; n += 1) await failureOf(sourceOf());
    for (let n = 0; n < failures; n += 1) await failureOf(sourceOf('zzz'));
    expect(await readBreaker(redis, keys[0]!)).to.include({ state: 'closed', failures: 0 });
  });

  it('goes on when the budget of the first grants nothing', async () => {
    await members[0].limiter.stop();
    const { provider } = members[0];
    members[0] = memberOf(provider, 1);
    chain = createProviderChain({ members, failoverMs: 300 });
    expect([await sourceOf(), await sourceOf()]).to.deep.equal(['coingecko', 'defillama']);
    expect(upper.callCount()).to.equal(1);
  });

  it('says when to come back when it is a matter of a short time for all of them', async () => {
    upper.inject({ kind: 'rate-limited', retryAfterSeconds: 40 });
    lower.inject({ kind: 'rate-limited', retryAfterSeconds: 3 });
    const error = await failureOf(sourceOf());
    expect(error).to.be.instanceOf(ProviderRateLimitError);
    expect((error as ProviderRateLimitError).retryAfterMs).to.equal(3_000);
    expect(await failureOf(sourceOf())).to.be.instanceOf(BudgetWaitError);
    expect([upper.callCount(), lower.callCount()]).to.deep.equal([1, 1]);
  });

  it('tells of the failure of the first when all fail', async () => {
    upper.inject('invalid-json');
    lower.inject('server-error');
    const error = await failureOf(sourceOf());
    expect(String(error)).to.include('coingecko sent');
  });

  it('asks the next source when one says that it does not know all', async () => {
    const requested: string[] = [];
    const request = { urgency: 'warming', maxWaitMs: 1_000, signal: new AbortController().signal } as const;
    const result = await chain.run<string>(request, (_grant, { provider, isFirst }) => {
      requested.push(`${provider.source} ${isFirst}`);
      return Promise.resolve(askNext);
    });
    expect(result).to.equal(undefined);
    expect(requested).to.deep.equal(['coingecko true', 'defillama false']);
  });

  it('ends with the reason of an abort, and asks nobody further', async () => {
    const controller = new AbortController();
    const request = { urgency: 'interactive', maxWaitMs: 1_000, signal: controller.signal } as const;
    const reason = new Error('gone');
    const error = await failureOf(
      chain.run(request, () => {
        controller.abort(reason);
        return Promise.reject(reason);
      }),
    );
    expect(error).to.equal(reason);
    expect(lower.callCount()).to.equal(0);
    expect(await readBreaker(redis, keys[0]!)).to.include({ state: 'closed', failures: 0 });
  });
});
