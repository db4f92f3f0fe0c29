import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createQuoteStore, type QuoteStore } from '../../src/features/quotes/quote-store.ts';
import { withoutPriceReason, type CachedQuote } from '../../src/domain/cached-quote.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

const quote = (assetId: string, receivedAt: number): CachedQuote => ({
  assetId,
  currency: 'usd',
  receivedAt,
  head: `{"id":"${assetId}","price":${receivedAt}`,
});

describe('quote store', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let store: QuoteStore;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    store = createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
  });
  afterEach(() => flushPrefix(redis, keys.prefix));
  after(() => redis.quit());

  it('returns what was written, in the order asked', async () => {
    await store.write('usd', [quote('a', 10), quote('b', 20)]);
    const [b, none, a] = await store.readMany('usd', ['b', 'none', 'a']);
    expect(b?.quote).to.deep.equal(quote('b', 20));
    expect(none).to.deep.equal({ quote: undefined, failure: undefined });
    expect(a?.quote?.receivedAt).to.equal(10);
  });

  it('lets an old answer that arrives late change nothing', async () => {
    await store.write('usd', [quote('a', 20)]);
    await store.write('usd', [quote('a', 10)]);
    expect((await store.readMany('usd', ['a']))[0]?.quote?.receivedAt).to.equal(20);
  });

  it('takes a value from the future for an old one, and lets any replace it', async () => {
    const ahead = Date.now() + 3_600_000;
    await store.write('usd', [quote('a', ahead)]);
    const held = (await store.readMany('usd', ['a']))[0]?.quote;
    expect(held?.receivedAt).to.be.below(Date.now() - 86_400_000);
    expect(held?.head).to.equal(quote('a', ahead).head);
    await store.write('usd', [quote('a', 20)]);
    expect((await store.readMany('usd', ['a']))[0]?.quote).to.deep.equal(quote('a', 20));
  });

  it('keeps a good value beside a failure, and drops the failure with the next value', async () => {
    const failure = {
      assetId: 'a',
      state: 'unavailable',
      reason: 'a|b',
      until: Date.now() + 10_000,
    } as const;
    await store.write('usd', [quote('a', 10)]);
    await store.writeFailures('usd', [failure]);
    const [both] = await store.readMany('usd', ['a']);
    expect(both?.quote?.receivedAt).to.equal(10);
    expect(both?.failure).to.deep.equal(failure);
    await store.write('usd', [quote('a', 20)]);
    expect((await store.readMany('usd', ['a']))[0]?.failure).to.equal(undefined);
  });

  it('knows an asset without a price by the words of a process that has no state for it', async () => {
    const until = Date.now() + 10_000;
    await store.writeFailures('usd', [
      { assetId: 'a', state: 'unavailable', reason: withoutPriceReason, until },
      { assetId: 'b', state: 'unavailable', reason: 'down', until },
    ]);
    const states = (await store.readMany('usd', ['a', 'b'])).map(({ failure }) => failure?.state);
    expect(states).to.deep.equal(['unpriced', 'unavailable']);
  });

  it('lets every key expire', async () => {
    await store.write('usd', [quote('a', 10)]);
    await store.writeFailures('usd', [
      { assetId: 'b', state: 'not_found', reason: '', until: Date.now() + 5_000 },
    ]);
    await store.writeRanking('usd', { assetIds: ['a', 'b'], receivedAt: 10 });
    const names = await redis.keys(`${keys.prefix}:*`);
    expect(names).to.have.length(3);
    for (const name of names) expect(await redis.pttl(name), name).to.be.greaterThan(0);
    // Values for the time of retention, 60 s; a failure until the moment it says.
    const [failure, ...values] = names.toSorted(
      (a, b) => Number(b.includes('fail')) - Number(a.includes('fail')),
    );
    expect(await redis.pttl(failure!)).to.be.at.most(5_000);
    for (const name of values) expect(await redis.pttl(name), name).to.be.within(30_000, 60_000);
  });

  it('clears the assets named in every currency, or everything', async () => {
    await store.write('usd', [quote('a', 10), quote('b', 10)]);
    await store.write('eur', [{ ...quote('a', 10), currency: 'eur' }]);
    expect(await store.clear(['a'])).to.equal(2);
    expect((await store.readMany('usd', ['b']))[0]?.quote).to.not.equal(undefined);
    expect(await store.clear(null)).to.equal(1);
  });
});
