import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createQuoteCollector, type CollectQuotes } from '../../src/features/quotes/collect-quotes.ts';
import { createLocalCache, type LocalCache } from '../../src/features/quotes/local-cache.ts';
import { createQuoteStore, type QuoteStore } from '../../src/features/quotes/quote-store.ts';
import { createDemand, createWant, type Demand } from '../../src/features/quotes/demand/demand.ts';
import type { CachedQuote, QuoteReading } from '../../src/domain/cached-quote.ts';
import { createTicks, type TickPublisher } from '../../src/features/quotes/ticks.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

const quote = (assetId: string, receivedAt = Date.now()): CachedQuote => ({
  assetId,
  currency: 'usd',
  receivedAt,
  head: `{"id":"${assetId}","price":1`,
});

const hourMs = 3_600_000;
const farMs = 15_000;

describe('collecting quotes', () => {
  let redis: Redis;
  let subscriber: Redis;
  let keys: RedisKeys;
  let store: QuoteStore;
  let demand: Demand;
  let ticks: ReturnType<typeof createTicks>;
  let publisher: TickPublisher;
  let collect: CollectQuotes;
  let enqueued: string[];
  let local: LocalCache;

  before(async () => {
    const { redisUrl } = await services();
    redis = new Redis(redisUrl);
    subscriber = new Redis(redisUrl);
  });
  beforeEach(async () => {
    keys = createRedisKeys(uniquePrefix());
    store = createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 3_600 });
    demand = createDemand({ redis, clock: systemClock, keys });
    ticks = createTicks({ clock: systemClock, redis, subscriber, channel: keys.ticks });
    publisher = ticks;
    await subscriber.subscribe(keys.ticks);
    enqueued = [];
    local = createLocalCache();
    const enqueue = {
      quotes: (currency: string, urgency: string) => {
        enqueued.push(`${currency} ${urgency}`);
        return Promise.resolve();
      },
    };
    collect = createQuoteCollector({
      local,
      store,
      want: createWant({ demand, enqueue, clock: systemClock, freshMs: 60_000 }),
      demand,
      ticks,
      clock: systemClock,
      freshMs: 60_000,
      pendingState: () => Promise.resolve('rate_limited'),
    });
  });
  afterEach(async () => {
    await subscriber.unsubscribe();
    subscriber.removeAllListeners('message');
    await flushPrefix(redis, keys.prefix);
  });
  after(async () => {
    await redis.quit();
    await subscriber.quit();
  });

  const wanted = (): Promise<boolean> => demand.size('usd').then((size) => size > 0);
  const start = (assetIds: string[], options: Partial<Parameters<CollectQuotes>[0]> = {}) =>
    collect({ currency: 'usd', assetIds, urgency: 'interactive', waitMs: farMs, ...options });

  it('is content with a fresh cache: nothing wanted, nobody waits', async () => {
    await store.write('usd', [quote('a'), quote('b')]);
    let waited = false;
    const readings = await start(['a', 'b'], { onWait: () => (waited = true) });
    expect([...readings.values()].map(({ state }) => state)).to.deep.equal(['fresh', 'fresh']);
    expect([waited, enqueued, await wanted()]).to.deep.equal([false, [], false]);
  });

  it('takes a fresh quote of this process without asking Redis', async () => {
    local.put(quote('a'));
    expect((await start(['a'])).get('a')?.state).to.equal('fresh');
    expect((await store.readMany('usd', ['a']))[0]?.quote).to.equal(undefined);
  });

  it('is not content with quotes from the future, whoever told of them', async () => {
    const ahead = Date.now() + hourMs;
    await store.write('usd', [quote('stored', ahead)]);
    const unlisten = ticks.listen(local);
    // A tick that comes with the answer to the subscription is forgotten again: there was a gap.
    const hasArrived = async (): Promise<boolean> => {
      await publisher.publish({ currency: 'usd', quotes: [quote('told', ahead)], failures: [] });
      return local.get('usd', 'told') !== undefined;
    };
    await waitFor(hasArrived, { what: 'the tick' });
    const readings = await start(['stored', 'told'], { waitMs: 50 });
    unlisten();
    expect([...readings.values()].map(({ state }) => state)).to.not.include('fresh');
    expect(await demand.size('usd')).to.equal(2);
    local.put(quote('told'));
    expect((await start(['told'])).get('told')?.state).to.equal('fresh');
  });

  it('wants what is missing or stale, and settles with the tick', async () => {
    await store.write('usd', [quote('stale', Date.now() - hourMs)]);
    const batches: string[][] = [];
    const onSettled = (settled: readonly QuoteReading[]): unknown =>
      batches.push(settled.map(({ assetId }) => assetId));
    const collecting = start(['missing', 'stale'], { onSettled });
    await waitFor(async () => (await demand.size('usd')) === 2, { what: 'both to be wanted' });
    await publisher.publish({
      currency: 'eur',
      quotes: [{ ...quote('missing'), currency: 'eur' }],
      failures: [],
    });
    await publisher.publish({ currency: 'usd', quotes: [quote('stale')], failures: [] });
    await publisher.publish({ currency: 'usd', quotes: [quote('missing')], failures: [] });
    const readings = await collecting;
    expect([...readings.values()].map(({ state }) => state)).to.deep.equal(['fresh', 'fresh']);
    expect(batches).to.deep.equal([['stale'], ['missing']]);
    expect(enqueued).to.include('usd interactive');
  });

  it('looks again by itself, because a tick may be lost', async () => {
    const collecting = start(['a']);
    await waitFor(wanted, { what: 'a to be wanted' });
    await store.write('usd', [quote('a')]);
    expect((await collecting).get('a')?.state).to.equal('fresh');
  });

  it('wants again what Redis has forgotten', async () => {
    const collecting = start(['a']);
    await waitFor(wanted, { what: 'a to be wanted' });
    await flushPrefix(redis, keys.prefix);
    await waitFor(wanted, { what: 'a to be wanted again' });
    await store.write('usd', [quote('a')]);
    expect((await collecting).get('a')?.state).to.equal('fresh');
  });

  it('keeps the last good value when the source fails, and says why', async () => {
    await store.write('usd', [quote('old', Date.now() - hourMs)]);
    const collecting = start(['old', 'new']);
    await waitFor(async () => (await demand.size('usd')) === 2, { what: 'both to be wanted' });
    const until = Date.now() + 10_000;
    const failures = ['old', 'new'].map((assetId) => ({
      assetId,
      state: 'unavailable' as const,
      reason: 'down',
      until,
    }));
    await publisher.publish({ currency: 'usd', quotes: [], failures });
    const readings = await collecting;
    expect(readings.get('old')).to.deep.include({ state: 'stale', reason: 'down' });
    expect(readings.get('old')?.quote?.head).to.include('"price":1');
    expect(readings.get('new')).to.deep.include({ state: 'unavailable', quote: undefined });
  });

  it('reports what it has when the time is up', async () => {
    await store.write('usd', [quote('old', Date.now() - hourMs)]);
    const readings = await start(['old', 'new'], { waitMs: 50 });
    expect(readings.get('old')?.state).to.equal('stale');
    expect(readings.get('new')?.state).to.equal('rate_limited');
  });

  it('ends with the reason of its signal', async () => {
    const controller = new AbortController();
    const collecting = start(['a'], { signal: controller.signal });
    await waitFor(wanted, { what: 'a to be wanted' });
    controller.abort(new Error('nobody waits'));
    const error = await collecting.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.an('error').with.property('message', 'nobody waits');
  });
});
