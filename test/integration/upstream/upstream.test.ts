import { expect } from 'chai';
import { Redis } from 'ioredis';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import type { Quote } from '../../../src/domain/quote.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createRedisBudget } from '../../../src/features/upstream/budget/redis-budget.ts';
import { createCoinGeckoProvider } from '../../../src/features/upstream/coingecko/coingecko-provider.ts';
import { BudgetWaitError, ProviderRateLimitError } from '../../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../../src/features/upstream/request-limiter-contract.ts';
import { createRequestLimiter } from '../../../src/features/upstream/request-limiter.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { createMemoryLedger } from './memory-ledger.ts';

describe('upstream: gate, budget and provider together', () => {
  const prefix = uniquePrefix();
  let market: Market;
  let redis: Redis;
  let provider: PriceProvider;
  let gates: RequestLimiter[];

  before(async () => {
    market = await startMarket({ callsPerMinute: 6 });
    redis = new Redis((await services()).redisUrl, { maxRetriesPerRequest: 1 });
    const common = {
      plan: 'keyless',
      timeoutMs: 2_000,
      maxBodyBytes: 5_000_000,
      clock: systemClock,
    } as const;
    provider = createCoinGeckoProvider({ ...common, baseUrl: market.url });
  });
  beforeEach((): void => {
    const callLog = createMemoryLedger(() => Date.now());
    const key = uniquePrefix();
    // Two processes: each has a gate and a budget of its own, and both the same keys.
    gates = [1, 2].map(() => {
      const log = silentLogger();
      return createRequestLimiter({
        budget: createRedisBudget({ redis, callLog, log, prefix, key, limit: 6 }),
        log,
      });
    });
  });
  afterEach(() => Promise.all(gates.map((limiter) => limiter.stop())));
  after(async () => {
    await flushPrefix(redis, prefix);
    redis.disconnect();
    await provider.close();
    await market.close();
  });

  const price = (limiter: RequestLimiter): Promise<readonly Quote[]> =>
    limiter.run(
      { urgency: 'interactive', maxWaitMs: 100, signal: new AbortController().signal },
      async (grant) => {
        const { quotes } = await provider.fetchQuotes({
          ids: ['bitcoin'],
          currency: 'usd',
          signal: grant.signal,
        });
        return quotes;
      },
    );

  it('lets two processes together make as many calls as one may', async () => {
    const results = await Promise.allSettled(
      gates.flatMap((limiter) => Array.from({ length: 8 }, () => price(limiter))),
    );
    const answered = results.filter((result) => result.status === 'fulfilled');
    const refused = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    );
    // Half of the limit at once for users; the others come later, and nobody here waits for them.
    expect(answered).to.have.length(3);
    for (const error of refused) expect(error).to.be.instanceOf(BudgetWaitError);
    expect(market.callCount()).to.equal(3);
    expect(market.rejected()).to.equal(0);
  });

  it('stops all processes when one of them is told to wait', async () => {
    market.resetCalls();
    market.inject({ kind: 'rate-limited', retryAfterSeconds: 30 });
    const [first, second] = gates as [RequestLimiter, RequestLimiter];
    const reported = await price(first).catch((error: unknown) => error);
    expect(reported).to.be.instanceOf(ProviderRateLimitError);
    for (const limiter of [first, second]) {
      const error = await price(limiter).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(BudgetWaitError).and.include({ reason: 'blocked' });
    }
    expect(market.callCount()).to.equal(1);
  });
});
