/** Reads of many assets at once, over a real Redis. */
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { QuoteReader } from '../../src/features/quotes/quote-reader.ts';
import { createLocalCache, type LocalCache } from '../../src/features/quotes/local-cache.ts';
import {
  createMarketRowStore,
  createQuoteStore,
  type MarketRowStore,
  type QuoteStore,
} from '../../src/features/quotes/quote-store.ts';
import type { CollectRequest } from '../../src/features/quotes/collect-quotes.ts';
import type { CachedQuote, QuoteReading } from '../../src/domain/cached-quote.ts';
import type { Tick, TickListener } from '../../src/features/quotes/ticks.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

type ReaderDeps = ConstructorParameters<typeof QuoteReader>[0];

const freshMs = 60_000;
const stale = -freshMs - 1;

function quote(assetId: string, age = 0): CachedQuote {
  return { assetId, currency: 'usd', receivedAt: Date.now() + age, head: `{"id":"${assetId}","price":1` };
}

describe('the market reader', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let local: LocalCache;
  let store: QuoteStore;
  let rows: MarketRowStore;
  let collected: CollectRequest[];
  let renewed: (readonly string[])[];
  let enqueued: [string, number][];
  let asks: number;
  let listeners: TickListener[];
  let market: QuoteReader;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    local = createLocalCache();
    store = createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
    rows = createMarketRowStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
    [collected, renewed, enqueued, listeners, asks] = [[], [], [], [], 0];
    market = build();
  });
  afterEach(() => flushPrefix(redis, keys.prefix));
  after(() => redis.quit());

  function build(different: Partial<ReaderDeps> = {}): QuoteReader {
    return new QuoteReader({
      local,
      store: {
        readMany: (currency, ids) => {
          asks += 1;
          return store.readMany(currency, ids);
        },
        readRanking: (currency, page) => store.readRanking(currency, page),
        clear: (assetIds) => store.clear(assetIds),
      },
      rowStore: rows,
      ticks: {
        listen: (listener) => {
          listeners.push(listener);
          return () => listeners.splice(listeners.indexOf(listener), 1);
        },
      },
      collect: (request) => {
        collected.push(request);
        const found = request.assetIds.map((assetId): [string, QuoteReading] => [
          assetId,
          { assetId, state: 'pending', quote: undefined },
        ]);
        return Promise.resolve(new Map(found));
      },
      clock: systemClock,
      log: silentLogger(),
      freshMs,
      want: ({ assetIds }) => {
        renewed.push(assetIds);
        return Promise.resolve(assetIds.length);
      },
      enqueue: {
        markets: (currency, request) => {
          enqueued.push([currency, request?.page ?? 1]);
          return Promise.resolve();
        },
      },
      publisher: { publishClearing: () => Promise.resolve() },
      pendingState: () => Promise.resolve('pending'),
      reads: { asset: () => undefined, page: () => undefined },
      ...different,
    });
  }

  const read = (assetIds: string[], waitMs = 1_000) => market.getMany({ currency: 'usd', assetIds, waitMs });
  const statesOf = async (ids: string[]): Promise<string[]> => {
    const readings = await read(ids);
    return ids.map((id) => readings.get(id)?.state ?? 'none');
  };

  it('asks Redis once for all that this process has not, and once for what nobody has', async () => {
    local.put(quote('held'));
    await store.write('usd', [quote('fresh'), quote('old', stale)]);
    const until = Date.now() + 10_000;
    await store.writeFailures('usd', [{ assetId: 'no', state: 'not_found', reason: 'no', until }]);
    expect(await statesOf(['held', 'fresh', 'old', 'no', 'new', 'newer'])).to.deep.equal([
      ...['fresh', 'fresh', 'stale', 'not_found', 'pending', 'pending'],
    ]);
    expect(asks).to.equal(1);
    expect(collected.map(({ assetIds }) => assetIds)).to.deep.equal([['new', 'newer']]);
    expect(renewed).to.deep.equal([['old']]);
  });

  it('holds what it has learned: neither fresh, nor stale, nor missing assets are asked for again at once', async () => {
    await store.write('usd', [quote('fresh'), quote('old', stale)]);
    const until = Date.now() + 10_000;
    await store.writeFailures('usd', [{ assetId: 'no', state: 'not_found', reason: 'no', until }]);
    await statesOf(['fresh', 'old', 'no']);
    expect(await statesOf(['fresh', 'old', 'no'])).to.deep.equal(['fresh', 'stale', 'not_found']);
    expect([asks, renewed.length]).to.deep.equal([1, 1]);
  });

  it('answers from its own copy while that is fresh, and not a moment longer', async () => {
    const now = Date.now();
    let aheadMs = 0;
    market = build({ clock: { now: () => now + aheadMs } });
    const popular = { assetIds: ['held'], receivedAt: now };
    local.put({ ...quote('held'), receivedAt: now });
    local.putRanking('usd', popular, 2);
    const pages: number[] = [];
    const peeked: boolean[] = [];
    for (aheadMs of [freshMs - 1, freshMs]) {
      peeked.push(market.peekFresh('usd', 'held') !== undefined);
      await market.ranking({ currency: 'usd', page: 2, waitMs: 0 });
      pages.push(enqueued.length);
    }
    expect(peeked).to.deep.equal([true, false]);
    expect(pages).to.deep.equal([0, 1]);
  });

  it('has a stale quote renewed at every second, and not more often', async () => {
    const now = Date.now();
    let aheadMs = 0;
    market = build({ clock: { now: () => now + aheadMs } });
    await store.write('usd', [quote('old', stale)]);
    for (aheadMs of [0, 999, 1_000]) await statesOf(['old']);
    expect(renewed).to.deep.equal([['old'], ['old']]);
  });

  it('makes one collection for a crowd that wants the same', async () => {
    await Promise.all(Array.from({ length: 50 }, () => read(['a', 'b'])));
    expect([asks, collected.length]).to.deep.equal([1, 1]);
  });

  it('serves stale what it holds while Redis is away, and says so when it holds nothing', async () => {
    local.put(quote('held', stale));
    const away = (): Promise<never> => Promise.reject(new Error('Redis is away'));
    market = build({ store: { readMany: away, readRanking: away, clear: away }, rowStore: { read: away } });
    expect(await statesOf(['held', 'other'])).to.deep.equal(['stale', 'unavailable']);
    expect(await read(['other']).catch((error: unknown) => error)).to.include({ code: 'cache_unavailable' });
    expect((await market.rows('usd', ['held'])).size).to.equal(0);
  });

  it('tells by its version that a tick, a clearing or a gap may have changed what is held', () => {
    const versions = [market.version()];
    const tick: Tick = { currency: 'usd', quotes: [], failures: [] };
    const events: ((listener: TickListener) => void)[] = [
      (each) => each.onTick?.(tick),
      (each) => each.onClear?.(null),
      (each) => each.onGap?.(),
    ];
    for (const event of events) {
      listeners.forEach(event);
      versions.push(market.version());
    }
    expect(new Set(versions).size).to.equal(4);
  });

  it('waits for a page of the ranking that nobody has, and renews a stale one behind the reader', async () => {
    const requested = { currency: 'usd', page: 3, waitMs: 2_000 };
    const arrival = market.ranking(requested);
    const popular = { assetIds: ['x'], receivedAt: Date.now() };
    // The reader listens before it asks for a job.
    while (enqueued.length === 0) await new Promise((resolve) => setImmediate(resolve));
    for (const page of [1, 3]) {
      const own = page === 3 ? popular : { assetIds: ['other'], receivedAt: Date.now() };
      const tick: Tick = { currency: 'usd', quotes: [], failures: [], popular: own, page };
      listeners.forEach((each) => each.onTick?.(tick));
    }
    expect(await arrival).to.deep.equal(popular);
    expect(enqueued).to.deep.equal([['usd', 3]]);

    const old = { assetIds: ['y'], receivedAt: Date.now() + stale };
    await store.writeRanking('usd', old, 2);
    expect(await market.ranking({ ...requested, page: 2 })).to.deep.equal(old);
    expect(await market.ranking({ ...requested, page: 2 })).to.deep.equal(old);
    expect(enqueued).to.deep.equal([
      ['usd', 3],
      ['usd', 2],
    ]);
  });

  it('has no page that does not come in time', async () => {
    expect(await market.ranking({ currency: 'usd', page: 9, waitMs: 20 })).to.equal(undefined);
  });

  it('reads rows as they were sent; a late old answer changes none, and clearing forgets them', async () => {
    const row = (assetId: string, at: number, json = '{"a": 1.0}') => ({
      assetId,
      currency: 'usd',
      receivedAt: at,
      json,
    });
    await rows.write([row('a', 2_000), row('b|c', 1_000)]);
    await rows.write([row('a', 1_000, '{"older":1}'), row('b|c', 1_000, '{"same":1}')]);
    const found = await market.rows('usd', ['a', 'none', 'b|c']);
    expect([...found.values()]).to.deep.equal([row('a', 2_000), row('b|c', 1_000, '{"same":1}')]);
    expect((await market.rows('eur', ['a'])).size).to.equal(0);
    await store.clear(['a']);
    expect([...(await market.rows('usd', ['a', 'b|c'])).keys()]).to.deep.equal(['b|c']);
  });
});
