import { mock } from 'node:test';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createDeviationGuard } from '../../src/features/quotes/deviation-guard.ts';
import { createQuoteStore, type QuoteStore } from '../../src/features/quotes/quote-store.ts';
import { createDemand, leaseMs, type Demand } from '../../src/features/quotes/demand/demand.ts';
import { toCachedQuote, withoutPriceReason, type QuoteFailure } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { createRedisBudget } from '../../src/features/upstream/budget/redis-budget.ts';
import { createCircuitBreaker } from '../../src/features/upstream/circuit-breaker.ts';
import { ProviderConnectionError } from '../../src/features/upstream/provider-errors.ts';
import {
  createProviderChain,
  limiterOf,
  type ChainMember,
} from '../../src/features/upstream/provider-chain.ts';
import type { MarketsResult, PriceProvider, QuotesResult } from '../../src/features/upstream/provider.ts';
import { createRequestLimiter } from '../../src/features/upstream/request-limiter.ts';
import { refreshMarkets } from '../../workers/processors/upstream/refresh-markets.ts';
import { refreshQuotes } from '../../workers/processors/upstream/refresh-quotes.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { Requeue } from '../../workers/runtime/requeue.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';
import { createMemoryLedger } from './upstream/memory-ledger.ts';

const log = silentLogger();

/** What a source says of the ids it is asked for, or how it fails. */
type Script = (ids: readonly string[]) => Partial<Record<'notFound' | 'withoutPrice', readonly string[]>> & {
  readonly prices?: Readonly<Record<string, number>>;
};

describe('refreshing quotes from several sources', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let store: QuoteStore;
  let demand: Demand;
  let members: ChainMember[];
  let calls: string[];
  let published: QuoteFailure[];
  /** What the queue was asked for. */
  let enqueued: string[];

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    store = createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
    demand = createDemand({ redis, clock: systemClock, keys });
    [members, calls, published, enqueued] = [[], [], [], []];
  });
  afterEach(async () => {
    await Promise.all(members.map(({ limiter }) => limiter.stop()));
    await flushPrefix(redis, keys.prefix);
  });
  after(() => redis.quit());

  const quoteOf = (assetId: string, price: number, source: string): Quote => ({
    assetId,
    symbol: assetId,
    name: assetId,
    currency: 'usd',
    price,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    source,
    asOf: new Date().toISOString(),
    receivedAt: Date.now(),
  });

  const old = (quote: Quote) => toCachedQuote({ ...quote, receivedAt: quote.receivedAt - 60_000 });

  function addSource(source: string, script: Script, facts: Partial<PriceProvider> = {}): void {
    const provider = {
      source,
      maxIdsPerCall: 250,
      maxIdListBytes: 6_000,
      fetchQuotes: ({ ids }): Promise<QuotesResult> => {
        calls.push(`${source} ${ids.join(',')}`);
        return Promise.resolve().then(() => {
          const { prices = {}, notFound = [], withoutPrice = [] } = script(ids);
          const quotes = Object.entries(prices).map(([id, price]) => quoteOf(id, price, source));
          return { quotes, notFound, withoutPrice };
        });
      },
      ...facts,
    } as Partial<PriceProvider> as PriceProvider;
    const callLog = createMemoryLedger(() => Date.now());
    const budget = createRedisBudget({ redis, callLog, log, prefix: keys.prefix, key: source, limit: 20 });
    const breaker = createCircuitBreaker({
      redis,
      log,
      name: source,
      key: keys.breaker(source),
      failures: 2,
      longestMs: 60_000,
      firstMs: 60_000,
    });
    members.push({ provider, limiter: createRequestLimiter({ budget, log }), breaker });
  }

  const broken: Script = () => {
    throw new ProviderConnectionError('down', { provider: 'a', providerStatus: 503 });
  };

  async function refresh(...assetIds: string[]): Promise<void> {
    const want = { currency: 'usd', urgency: 'interactive', freshAfter: Date.now() } as const;
    await demand.want({ ...want, assetIds });
    await refreshQuotes(depsOf(), { currency: 'usd', urgency: 'interactive' }, contextOf());
  }

  function contextOf(): JobContext {
    const { signal } = new AbortController();
    return {
      jobId: 'job',
      addedAt: Date.now(),
      start: calls.length,
      isLastAttempt: false,
      signal,
      waitSignal: signal,
      callSignal: signal,
      releaseDeduplication: () => Promise.resolve(),
    };
  }

  function depsOf() {
    const nothing = (): Promise<void> => Promise.resolve();
    const [first, ...others] = members;
    return {
      chain: createProviderChain({ members: [first!, ...others], failoverMs: 1_000 }),
      provider: first!.provider,
      limiter: limiterOf(first!),
      guard: createDeviationGuard({ redis, keys, store, log }),
      demand,
      store,
      rowStore: { write: nothing },
      publisher: {
        publish: ({ failures }: { failures: readonly QuoteFailure[] }) => {
          published.push(...failures);
          return Promise.resolve();
        },
        publishClearing: nothing,
      },
      enqueue: {
        quotes: (currency: string, urgency: string) => {
          enqueued.push(`${currency} ${urgency}`);
          return Promise.resolve();
        },
      },
      clock: systemClock,
      log,
      notFoundMs: 60_000,
      freshMs: 60_000,
      listed: (ids: readonly string[]) =>
        Promise.resolve(new Set(ids.filter((id) => id.startsWith('listed')))),
      charge: () => undefined,
    };
  }

  async function heldOf(assetId: string): Promise<{ price?: number; source?: string }> {
    const [held] = await store.readMany('usd', [assetId]);
    return JSON.parse(held?.quote === undefined ? '{}' : `${held.quote.head}}`) as { price?: number };
  }

  it('takes the quotes of the next source, by its name, and the first one is not asked again at once', async () => {
    addSource('a', broken);
    addSource('b', () => ({ prices: { x: 2, y: 3 } }));
    await refresh('x', 'y');
    expect(calls).to.deep.equal(['a x,y', 'b x,y']);
    expect(await heldOf('x')).to.include({ price: 2, source: 'b' });
    expect(await demand.size('usd')).to.equal(0);
  });

  it('takes the word of the first source: what it does not know, nobody is asked for', async () => {
    addSource('a', () => ({ prices: { x: 1 }, notFound: ['gone'], withoutPrice: ['quiet'] }));
    addSource('b', () => ({ prices: { gone: 9, quiet: 9 } }));
    await refresh('x', 'gone', 'quiet');
    expect(calls).to.have.length(1);
    expect(published.map(({ assetId, state }) => [assetId, state])).to.deep.equal([
      ['gone', 'not_found'],
      ['quiet', 'unpriced'],
    ]);
  });

  it('does not say of an asset that is listed that it does not exist, when an answer leaves it out', async () => {
    addSource('a', () => ({ notFound: ['gone', 'listed-and-never-quoted'] }));
    await refresh('gone', 'listed-and-never-quoted');
    expect(published.map(({ assetId, state, reason }) => [assetId, state, reason])).to.deep.equal([
      ['gone', 'not_found', 'the price source does not know this asset'],
      ['listed-and-never-quoted', 'unpriced', withoutPriceReason],
    ]);
    expect(Math.max(...published.map(({ until }) => until))).to.be.below(Date.now() + 61_000);
  });

  it('does not take it from a source in its place that an asset does not exist', async () => {
    addSource('a', broken);
    addSource('b', () => ({ prices: { x: 1 }, notFound: ['y', 'z'] }));
    addSource('c', () => ({ prices: { y: 2 }, notFound: ['z'] }));
    await refresh('x', 'y', 'z');
    expect(calls).to.deep.equal(['a x,y,z', 'b x,y,z', 'c y,z']);
    expect(await heldOf('y')).to.include({ price: 2, source: 'c' });
    expect(published.map(({ assetId, state }) => [assetId, state])).to.deep.equal([['z', 'unavailable']]);
  });

  it('asks a source in its place for as much as fits into one call there', async () => {
    addSource('a', broken);
    addSource('b', (ids) => ({ prices: Object.fromEntries(ids.map((id) => [id, 1])) }), { maxIdsPerCall: 2 });
    await refresh('x', 'y', 'z');
    expect(calls).to.deep.equal(['a x,y,z', 'b x,y']);
    expect(published.map(({ assetId, state }) => [assetId, state])).to.deep.equal([['z', 'unavailable']]);
  });

  it('renews what it has leased while a source takes its time, and no longer', async () => {
    const renewed: (readonly string[])[] = [];
    const before = demand;
    demand = {
      ...before,
      renew: async (currency, owner, assetIds) => {
        renewed.push(assetIds);
        await before.renew(currency, owner, assetIds);
      },
    };
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      addSource('a', () => {
        mock.timers.tick(leaseMs);
        return { prices: { x: 1 } };
      });
      await refresh('x');
      expect(renewed).to.deep.equal([['x'], ['x'], ['x']]);
      mock.timers.tick(leaseMs);
      expect(renewed).to.have.length(3);
    } finally {
      mock.timers.reset();
    }
  });

  it('says of those in a ranking that have no price that they have none, to those who wait too', async () => {
    const ranking = { assetIds: ['x', 'quiet'], quotes: [quoteOf('x', 1, 'a')], withoutPrice: ['quiet'] };
    addSource('a', broken, { fetchMarkets: () => Promise.resolve(ranking) });
    await demand.want({ currency: 'usd', urgency: 'stream', freshAfter: Date.now(), assetIds: ['quiet'] });
    await refreshMarkets(depsOf(), { currency: 'usd', page: 1, urgency: 'interactive' }, contextOf());
    expect(published.map(({ assetId, state }) => [assetId, state])).to.deep.equal([['quiet', 'unpriced']]);
    const [stored] = await store.readMany('usd', ['quiet']);
    expect(stored).to.deep.include({ quote: undefined }).and.nested.include({ 'failure.state': 'unpriced' });
    expect(await demand.size('usd')).to.equal(0);
  });

  it('puts a ranking behind those who wait for quotes, after every second call', async () => {
    let rankings = 0;
    const fetchMarkets = (): Promise<MarketsResult> => {
      rankings += 1;
      return Promise.resolve({ assetIds: ['x'], quotes: [quoteOf('x', 1, 'a')], withoutPrice: [] });
    };
    addSource('a', () => ({ prices: { y: 2 } }), { fetchMarkets });
    const ranking = (): Promise<unknown> =>
      refreshMarkets(depsOf(), { currency: 'usd', page: 1, urgency: 'interactive' }, contextOf());
    const want = { currency: 'usd', urgency: 'interactive', freshAfter: Date.now() } as const;
    await demand.want({ ...want, assetIds: ['y'] });
    await ranking();
    const refused: unknown = await ranking().catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Requeue);
    expect(rankings).to.equal(1);
    await refresh('y');
    await ranking();
    expect(rankings).to.equal(2);
  });

  it('asks once more for the currency whose grant it has spent on one that is more urgent', async () => {
    addSource('a', () => ({ prices: { x: 1 } }));
    const freshAfter = Date.now();
    await demand.want({ currency: 'eur', assetIds: ['x'], urgency: 'interactive', freshAfter });
    await demand.want({ currency: 'usd', assetIds: ['y'], urgency: 'stream', freshAfter });
    await refreshQuotes(depsOf(), { currency: 'usd', urgency: 'stream' }, contextOf());
    expect(calls).to.deep.equal(['a x']);
    expect(enqueued).to.deep.equal(['usd stream']);
  });

  it('calls nobody while all fail, tells those who wait, and keeps the good value', async () => {
    await store.write('usd', [old(quoteOf('x', 5, 'a'))]);
    addSource('a', broken);
    await refresh('x', 'y');
    const made = calls.length;
    await redis.del(`${keys.failures}usd:x`, `${keys.failures}usd:y`);
    published.length = 0;
    await refresh('x', 'y');
    expect(calls).to.have.length(made);
    expect(published.map(({ assetId, state }) => [assetId, state])).to.have.deep.members([
      ['x', 'unavailable'],
      ['y', 'unavailable'],
    ]);
    expect(await heldOf('x')).to.include({ price: 5 });
    expect(await demand.size('usd')).to.equal(0);
  });

  it('refuses a price far from the last one until it comes a second time, and says so', async () => {
    await store.write('usd', [old(quoteOf('x', 100, 'a'))]);
    const prices = { x: 1, y: 7 };
    addSource('a', () => ({ prices }));
    await refresh('x', 'y');
    expect(await heldOf('x')).to.include({ price: 100 });
    expect(await heldOf('y')).to.include({ price: 7 });
    expect(published).to.have.length(1);
    expect(published[0]).to.include({ assetId: 'x', state: 'unavailable' });
    expect(published[0]!.reason).to.include('confirmation');
    // Another worker sees the same a while later.
    await redis.del(`${keys.failures}usd:x`);
    const seenAt = Date.now();
    await waitFor(() => Date.now() > seenAt, { what: 'a later moment' });
    await refresh('x');
    expect(await heldOf('x')).to.include({ price: 1 });
    expect(await redis.hgetall(keys.guarded)).to.deep.equal({ doubted: '1', confirmed: '1' });
  });
});
