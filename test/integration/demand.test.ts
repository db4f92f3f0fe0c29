import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createQuoteStore, type QuoteStore } from '../../src/features/quotes/quote-store.ts';
import { createDemand, leaseMs, type Demand } from '../../src/features/quotes/demand/demand.ts';
import type { Urgency } from '../../src/domain/quote.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

const ids = (count: number, prefix = 'asset'): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${String(index).padStart(4, '0')}`);

describe('demand', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let demand: Demand;
  let store: QuoteStore;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    demand = createDemand({ redis, clock: systemClock, keys });
    store = createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
  });
  afterEach(() => flushPrefix(redis, keys.prefix));
  after(() => redis.quit());

  const want = (assetIds: readonly string[], urgency: Urgency = 'interactive') =>
    demand.want({ currency: 'usd', assetIds, urgency, freshAfter: Date.now() - 60_000 });
  const lease = (owner: string, maxIds = 250, maxBytes = 6_000) =>
    demand.lease({ currency: 'usd', owner, maxIds, maxBytes });

  it('holds an asset once, however many want it', async () => {
    await Promise.all(Array.from({ length: 50 }, () => want(['bitcoin', 'ethereum'])));
    expect(await demand.size('usd')).to.equal(2);
    expect(await lease('one')).to.have.members(['bitcoin', 'ethereum']);
    expect(await lease('two')).to.deep.equal([]);
  });

  it('leases by urgency, then small requests before large ones', async () => {
    await want(ids(100, 'crowd'), 'warming');
    await want(ids(100, 'bulk'));
    await want(['mine']);
    const leased = await lease('one', 150);
    expect(leased[0]).to.equal('mine');
    expect(leased.slice(1, 101)).to.have.members(ids(100, 'bulk'));
    expect(leased.slice(101).every((id) => id.startsWith('crowd'))).to.equal(true);
  });

  it('keeps the more urgent of two wishes', async () => {
    await want(['a', 'b'], 'warming');
    await want(['b'], 'interactive');
    await want(['b'], 'backfill');
    expect(await lease('one', 1)).to.deep.equal(['b']);
    expect(await demand.mostUrgent('usd')).to.equal('warming');
  });

  it('keeps a batch within ids and bytes', async () => {
    await want(ids(300));
    expect(await lease('one', 250)).to.have.length(250);
    expect(await lease('two', 250, 110)).to.have.length(10);
  });

  it('never leases one asset twice to parallel owners', async () => {
    await want(ids(1_000));
    const batches = await Promise.all(Array.from({ length: 8 }, (_, index) => lease(`owner-${index}`)));
    const all = batches.flat();
    expect(all).to.have.length(1_000);
    expect(new Set(all)).to.have.property('size', 1_000);
  });

  it('wants nothing that is fresh or known to fail, and says which', async () => {
    const now = Date.now();
    await store.write('usd', [
      { assetId: 'fresh', currency: 'usd', receivedAt: now, head: '{"id":"fresh"' },
      { assetId: 'old', currency: 'usd', receivedAt: now - 120_000, head: '{"id":"old"' },
    ]);
    const failure = { assetId: 'unknown', state: 'not_found', reason: '', until: now + 10_000 } as const;
    await store.writeFailures('usd', [failure]);
    const { settled } = await want(['fresh', 'old', 'unknown', 'new']);
    expect(settled).to.have.members(['fresh', 'unknown']);
    expect(await lease('one')).to.have.members(['old', 'new']);
  });

  it('wants again an asset without a price as soon as that is to be asked again, though it is still known', async () => {
    const now = Date.now();
    const unpriced = { state: 'unpriced', reason: 'no price' } as const;
    await store.writeFailures('usd', [
      { ...unpriced, assetId: 'told', until: now + 10_000 },
      { ...unpriced, assetId: 'old', until: now - 1 },
    ]);
    expect((await want(['told', 'old'])).settled).to.deep.equal(['told']);
    const stored = await store.readMany('usd', ['told', 'old']);
    expect(stored.map(({ failure }) => failure?.state)).to.deep.equal(['unpriced', 'unpriced']);
  });

  it('does not want again what is being fetched', async () => {
    await want(['bitcoin']);
    await lease('one');
    await want(['bitcoin']);
    expect(await lease('two')).to.deep.equal([]);
  });

  it('puts released assets back at their place', async () => {
    await want(['first']);
    await want(['later'], 'stream');
    await lease('one', 1);
    await demand.release('usd', 'one', ['first']);
    expect(await lease('two', 1)).to.deep.equal(['first']);
  });

  it('forgets settled assets, and lets nobody else settle them', async () => {
    await want(['a', 'b']);
    await lease('one');
    await demand.settle('usd', 'stranger', ['a']);
    await demand.settle('usd', 'one', ['b']);
    await demand.release('usd', 'one', ['a', 'b']);
    expect(await lease('two')).to.deep.equal(['a']);
  });

  it('leaves to its owner what a stranger gives back', async () => {
    await want(['a']);
    await lease('one');
    await demand.release('usd', 'stranger', ['a']);
    expect(await lease('two')).to.deep.equal([]);
  });

  /** As if the owner had not renewed in time. */
  const letExpire = (assetId: string): Promise<unknown> => redis.zadd(keys.leases('usd'), 1, assetId);

  it('takes nothing from the new owner when the former one comes back', async () => {
    await want(['a']);
    await lease('former');
    await letExpire('a');
    expect(await lease('new')).to.deep.equal(['a']);
    await demand.release('usd', 'former', ['a']);
    await demand.settle('usd', 'former', ['a']);
    expect(await lease('third')).to.deep.equal([]);
    // Nor does the former one keep alive what the new one lets go.
    await letExpire('a');
    await demand.renew('usd', 'former', ['a']);
    expect(await lease('third')).to.deep.equal(['a']);
    await demand.settle('usd', 'third', ['a']);
    await demand.renew('usd', 'third', ['a']);
    expect(await demand.size('usd')).to.equal(0);
  });

  it('puts a leased asset back at the place that somebody more urgent has wanted meanwhile', async () => {
    await want(['a'], 'warming');
    await lease('one');
    await want(['b'], 'stream');
    await want(['a'], 'interactive');
    await want(['a'], 'backfill');
    await demand.release('usd', 'one', ['a']);
    expect(await demand.mostUrgent('usd')).to.equal('interactive');
    expect(await lease('two', 1)).to.deep.equal(['a']);
  });

  it('puts what a dead owner held back where the next call looks', async () => {
    await want(['a']);
    await lease('one');
    await letExpire('a');
    expect(await demand.size('usd')).to.equal(1);
    await demand.want({ currency: 'usd', assetIds: ['b'], urgency: 'warming', freshAfter: 0 });
    expect(await demand.mostUrgent('usd')).to.equal('interactive');
    await want(['c'], 'stream');
    await demand.want({ currency: 'eur', assetIds: ['d'], urgency: 'stream', freshAfter: 0 });
    expect(await demand.nextCurrency('eur')).to.equal('usd');
  });

  it('counts what is leased as on its way, until the lease expires', async () => {
    await want(['a', 'b']);
    await lease('one', 1);
    expect(await demand.size('usd')).to.equal(1);
    await letExpire('a');
    expect(await demand.size('usd')).to.equal(2);
  });

  it('forgets who asked for an asset with the asset', async () => {
    const wanted = { currency: 'usd', assetIds: ['a'], urgency: 'interactive', freshAfter: 0 } as const;
    await demand.want({ ...wanted, requester: 'joe' });
    await demand.want({ ...wanted, requester: 'eve' });
    expect(await demand.requesters('usd', ['a', 'b'])).to.deep.equal(['joe', undefined]);
    await lease('one');
    await demand.settle('usd', 'one', ['a']);
    await want(['a']);
    expect(await demand.requesters('usd', ['a'])).to.deep.equal([undefined]);
  });

  it('gives the assets of a dead owner to another, and leaves those of a living one', async function () {
    this.timeout(leaseMs * 3);
    await want(['alive', 'dead']);
    expect(await lease('dying', 1)).to.deep.equal(['alive']);
    expect(await lease('living', 1)).to.deep.equal(['dead']);
    const renewal = setInterval(() => void demand.renew('usd', 'living', ['dead']), leaseMs / 3);
    try {
      const taken = await waitFor(
        async () => {
          const leased = await lease('other');
          return leased.length > 0 ? leased : undefined;
        },
        { what: 'the lease to expire', timeoutMs: leaseMs * 2 },
      );
      expect(taken).to.deep.equal(['alive']);
    } finally {
      clearInterval(renewal);
    }
  });
});
