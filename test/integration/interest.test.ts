import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { pageItem, pageOf, Interest } from '../../src/features/quotes/demand/interest.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

describe('interest', () => {
  let redis: Redis;
  let keys: RedisKeys;
  const opened: Interest[] = [];

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((interest) => interest.close()));
    await flushPrefix(redis, keys.prefix);
  });
  after(() => redis.quit());

  const open = (windowMs = 600_000, maxItems = 20_000): Interest => {
    const interest = new Interest({
      clock: systemClock,
      redis,
      keys,
      log: silentLogger(),
      windowMs,
      maxItems,
      flushEveryMs: 60_000,
    });
    opened.push(interest);
    return interest;
  };
  const read = (interest: Interest, reads: Readonly<Record<string, number>>, currency = 'usd'): void => {
    for (const [id, count] of Object.entries(reads))
      for (let index = 0; index < count; index++) interest.asset(currency, id);
  };

  it('adds up what all processes count, and orders by it', async () => {
    const [one, two] = [open(), open()];
    read(one, { bitcoin: 5, ethereum: 6, dust: 1 });
    read(two, { bitcoin: 5 });
    await one.flush();
    await two.flush();
    read(one, { dust: 2 });
    await one.flush();
    const hot = await two.hottest('usd', 10);
    expect(hot.map(({ id }) => id)).to.deep.equal(['bitcoin', 'ethereum', 'dust']);
    expect(hot[0]!.heat / hot[1]!.heat).to.be.closeTo(10 / 6, 0.02);
    expect(hot[1]!.heat / hot[2]!.heat).to.be.closeTo(6 / 3, 0.02);
    expect(await two.hottest('usd', 1)).to.have.length(1);
  });

  it('keeps currencies apart, and pages of the ranking beside assets', async () => {
    const interest = open();
    read(interest, { bitcoin: 1 });
    read(interest, { bitcoin: 1 }, 'eur');
    interest.page('eur', 3);
    await interest.flush();
    expect(await interest.currencies()).to.have.members(['usd', 'eur']);
    const ids = (await interest.hottest('eur', 10)).map(({ id }) => id);
    expect(ids).to.have.members(['bitcoin', pageItem(3)]);
    expect(ids.map(pageOf)).to.have.members([undefined, 3]);
  });

  it('forgets what nobody reads any more, however hot it was', async function () {
    this.timeout(5_000);
    const interest = open(700);
    read(interest, { hot: 1_000, kept: 1 });
    await interest.flush();
    await waitFor(
      async () => {
        read(interest, { kept: 1 });
        await interest.flush();
        const ids = (await interest.hottest('usd', 10)).map(({ id }) => id);
        expect(ids).to.include('kept');
        return !ids.includes('hot');
      },
      { what: 'the hot asset to be forgotten' },
    );
    await waitFor(async () => (await interest.currencies()).length === 0, { what: 'all to be forgotten' });
    expect(await interest.hottest('usd', 10)).to.deep.equal([]);
  });

  it('is bounded, and drops the coldest', async () => {
    const interest = open(600_000, 100);
    for (let index = 0; index < 300; index++) read(interest, { [`coin-${index}`]: index < 50 ? 3 : 1 });
    await interest.flush();
    const ids = (await interest.hottest('usd', 1_000)).map(({ id }) => id);
    expect(ids).to.have.length(100);
    expect(ids).to.include.members(Array.from({ length: 50 }, (_, index) => `coin-${index}`));
  });

  /** Redis as a process sees it: away while `isAway`. */
  function unreliable(): { isAway: boolean; readonly redis: Redis } {
    const state = { isAway: true };
    const seen = new Proxy(redis, {
      get(target, name) {
        if (state.isAway) return () => Promise.reject(new Error('gone'));
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
    return Object.assign(state, { redis: seen });
  }

  it('counts on while Redis is away', async () => {
    const link = unreliable();
    const given = { keys, log: silentLogger(), windowMs: 600_000, flushEveryMs: 60_000 };
    const interest = new Interest({ clock: systemClock, redis: link.redis, ...given });
    opened.push(interest);
    read(interest, { bitcoin: 3 });
    await interest.flush();
    read(interest, { ethereum: 2 });
    link.isAway = false;
    expect(await open().hottest('usd', 10)).to.deep.equal([]);
    await interest.flush();
    // What could not be sent is dropped, what was read since is not.
    expect((await open().hottest('usd', 10)).map(({ id }) => id)).to.deep.equal(['ethereum']);
  });

  it('has room again after each flush, however much the last one held', async () => {
    const link = unreliable();
    const given = { keys, log: silentLogger(), windowMs: 600_000, flushEveryMs: 60_000 };
    const interest = new Interest({ clock: systemClock, redis: link.redis, ...given });
    opened.push(interest);
    for (let index = 0; index < 60_000; index++) interest.asset('usd', `coin-${index}`);
    await interest.flush();
    link.isAway = false;
    read(interest, { bitcoin: 1 });
    await interest.flush();
    expect((await interest.hottest('usd', 10)).map(({ id }) => id)).to.deep.equal(['bitcoin']);
  });

  it('sends what it has counted before it ends', async () => {
    const interest = open();
    interest.asset('usd', 'bitcoin', 4);
    await interest.close();
    const [hot] = await open().hottest('usd', 10);
    expect(hot?.heat).to.be.closeTo(4, 0.1);
  });
});
