import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createQuoteStore } from '../../src/features/quotes/quote-store.ts';
import { createDemand, leaseMs, type Demand } from '../../src/features/quotes/demand/demand.ts';
import { requesterText } from '../../src/domain/requester.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { startStopwatch } from '../../src/features/upstream/call-signal.ts';
import {
  ProviderRateLimitError,
  ProviderTimeoutError,
  ProviderUrlTooLongError,
} from '../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../src/features/upstream/request-limiter-contract.ts';
import { createRequestLimiter } from '../../src/features/upstream/request-limiter.ts';
import { refreshQuotes } from '../../workers/processors/upstream/refresh-quotes.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { upstreamOf } from '../support/upstream.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

const joe = '01934c2a-0000-7000-8000-000000000001';
const ann = '01934c2a-0000-7000-8000-000000000002';
const annsKey = requesterText({ userId: ann, keyId: '01934c2a-0000-7000-8000-00000000000a' });

describe('the charges for upstream calls', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let demand: Demand;
  let limiter: RequestLimiter;
  let charges: Record<string, number>;
  let calls: (readonly string[])[];
  /** How the calls to come end; those after them succeed. */
  let failures: Error[];

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    demand = createDemand({ redis, clock: systemClock, keys });
    charges = {};
    calls = [];
    failures = [];
    const settled = (): Promise<void> => Promise.resolve();
    limiter = createRequestLimiter({
      log: silentLogger(),
      budget: {
        key: 'endless',
        tryAcquire: () =>
          Promise.resolve({
            granted: { id: 'g', since: startStopwatch(), lastsMs: 5_000, settle: settled, release: settled },
          }),
        block: settled,
        applyReportedLimits: settled,
        status: () => Promise.reject(new Error('nobody asks')),
      },
    });
  });
  afterEach(async () => {
    await limiter.stop();
    await flushPrefix(redis, keys.prefix);
  });
  after(() => redis.quit());

  const want = (assetIds: readonly string[], requester?: string) =>
    demand.want({
      currency: 'usd',
      assetIds,
      urgency: 'interactive',
      freshAfter: Date.now() - 60_000,
      requester,
    });
  const lease = (owner: string) => demand.lease({ currency: 'usd', owner, maxIds: 250, maxBytes: 6_000 });

  const provider: PriceProvider = {
    maxIdsPerCall: 250,
    maxIdListBytes: 6_000,
    fetchQuotes: ({ ids }) => {
      calls.push(ids);
      const failure = failures.shift();
      if (failure !== undefined) return Promise.reject(failure);
      return Promise.resolve({ quotes: [], notFound: ids, withoutPrice: [] });
    },
    fetchMarkets: () => Promise.reject(new Error('nobody asks')),
    close: () => Promise.resolve(),
  } as Partial<PriceProvider> as PriceProvider;

  async function refresh(): Promise<void> {
    const { signal } = new AbortController();
    const context: JobContext = {
      jobId: 'job',
      addedAt: Date.now(),
      start: calls.length,
      isLastAttempt: false,
      signal,
      waitSignal: signal,
      callSignal: signal,
      releaseDeduplication: () => Promise.resolve(),
    };
    const nothing = (): Promise<void> => Promise.resolve();
    const deps = {
      ...upstreamOf(provider, limiter),
      demand,
      store: createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 60 }),
      rowStore: { write: nothing },
      publisher: { publish: nothing, publishClearing: nothing },
      enqueue: { quotes: nothing },
      clock: systemClock,
      log: silentLogger(),
      notFoundMs: 60_000,
      freshMs: 60_000,
      charge: (who: Parameters<typeof requesterText>[0], share: number) => {
        const text = requesterText(who);
        charges[text] = (charges[text] ?? 0) + share;
      },
    };
    await refreshQuotes(deps, { currency: 'usd', urgency: 'interactive' }, context);
  }

  const requesterCount = (): Promise<number> => redis.hlen(keys.requesters('usd'));

  it('are shared by number of assets, and forgotten with them', async () => {
    await want(['a'], joe);
    await want(['b', 'c', 'd'], annsKey);
    await refresh();
    expect(charges).to.deep.equal({ [joe]: 0.25, [annsKey]: 0.75 });
    expect(calls).to.have.length(1);
    expect(await requesterCount()).to.equal(0);
  });

  it('go to whoever asked first, also for what is already on its way', async () => {
    await want(['a', 'b'], joe);
    await want(['b', 'c'], annsKey);
    await lease('one');
    await want(['a', 'b', 'c'], annsKey);
    expect(await demand.requesters('usd', ['a', 'b', 'c', 'x'])).to.deep.equal([
      joe,
      joe,
      annsKey,
      undefined,
    ]);
  });

  it('go to nobody for what nobody in particular wants', async () => {
    await want(['a'], joe);
    await want(['b']);
    await refresh();
    expect(charges).to.deep.equal({ [joe]: 0.5 });
  });

  it('go to the next one once an asset is settled', async () => {
    await want(['a'], joe);
    await refresh();
    await redis.del(`${keys.failures}usd:a`);
    await want(['a'], annsKey);
    await refresh();
    expect(charges).to.deep.equal({ [joe]: 1, [annsKey]: 1 });
  });

  it('are for every try that was made, also when it failed', async () => {
    await want(['a'], joe);
    failures = [1, 2, 3].map(() => new ProviderTimeoutError('late', { provider: 'test' }));
    await refresh();
    expect(charges).to.deep.equal({ [joe]: 3 });
    expect(await requesterCount()).to.equal(0);
  });

  it('outlive a release: whoever asked first pays for both calls', async () => {
    await want(['a'], joe);
    failures = [new ProviderRateLimitError('slow down', { provider: 'test', retryAfterMs: 10 })];
    await refresh();
    await want(['a'], annsKey);
    await refresh();
    expect(calls).to.have.length(2);
    expect(charges).to.deep.equal({ [joe]: 2 });
  });

  it('leave out a call that was never sent, and share the halves by what is in them', async () => {
    await want(['a'], joe);
    await want(['b', 'c', 'd'], annsKey);
    failures = [new ProviderUrlTooLongError('too long', { provider: 'test' })];
    await refresh();
    expect(calls.map(({ length }) => length)).to.deep.equal([4, 2]);
    expect(charges).to.deep.equal({ [joe]: 0.5, [annsKey]: 0.5 });
    await refresh();
    expect(charges).to.deep.equal({ [joe]: 0.5, [annsKey]: 1.5 });
  });

  it('outlive the process that had leased the assets', async function () {
    this.timeout(leaseMs * 3);
    await want(['a', 'b'], joe);
    expect(await lease('dying')).to.have.length(2);
    await want(['a', 'b'], annsKey);
    await waitFor(async () => (await demand.size('usd')) === 2, {
      what: 'the lease to expire',
      timeoutMs: leaseMs * 2,
    });
    await refresh();
    expect(charges).to.deep.equal({ [joe]: 1 });
    await demand.settle('usd', 'dying', ['a', 'b']);
    expect(await requesterCount()).to.equal(0);
  });

  it('are forgotten with an asset whose lease expired and that is settled by whoever had it', async () => {
    await want(['a'], joe);
    await lease('slow');
    await demand.release('usd', 'slow', ['a']);
    await demand.settle('usd', 'slow', ['a']);
    expect([await demand.size('usd'), await requesterCount()]).to.deep.equal([0, 0]);
  });
});
