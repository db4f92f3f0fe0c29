import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createDemand, type Demand } from '../../src/features/quotes/demand/demand.ts';
import type { Urgency } from '../../src/domain/quote.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

interface WantOptions {
  readonly urgency?: Urgency;
  readonly currency?: string;
  readonly isPatient?: boolean;
}

const perCall = 250;

/** Assets named after who wants them, from number `from` on. */
const named = (who: string, count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `${who}-${String(from + index).padStart(6, '0')}`);
const countOf = (who: string, assetIds: readonly string[]): number =>
  assetIds.filter((id) => id.startsWith(`${who}-`)).length;

describe('fair share between tenants', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let demand: Demand;
  let calls: number;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    demand = createDemand({ redis, clock: systemClock, keys });
    calls = 0;
  });
  afterEach(() => flushPrefix(redis, keys.prefix));
  after(() => redis.quit());

  const want = (
    requester: string | undefined,
    assetIds: readonly string[],
    { urgency = 'interactive', currency = 'usd', isPatient = false }: WantOptions = {},
  ) => demand.want({ currency, assetIds, urgency, freshAfter: Date.now(), requester, isPatient });
  /** What the next upstream call would fetch; the assets are dealt with. */
  const call = async (): Promise<{ currency: string; assetIds: readonly string[] }> => {
    const owner = `call-${calls++}`;
    const currency = await demand.nextCurrency('usd');
    const assetIds = await demand.lease({ currency, owner, maxIds: perCall, maxBytes: 10_000 });
    await demand.settle(currency, owner, assetIds);
    return { currency, assetIds };
  };
  /** A crowd of bulks by one user, through several of his keys. */
  const flood = async (who: string, bulks: number, wanted?: WantOptions): Promise<void> => {
    for (let bulk = 0; bulk < bulks; bulk++)
      await want(`${who}/key-${bulk % 3}`, named(who, perCall, bulk * perCall), wanted);
  };

  it('serves who comes to a crowd in the next call', async () => {
    await flood('crowd', 20);
    await call();
    await want('user', named('user', 20));
    expect(countOf('user', (await call()).assetIds)).to.equal(20);
    expect(countOf('crowd', (await call()).assetIds)).to.equal(perCall);
  });

  it('serves who comes later as soon, however long the crowd has waited', async () => {
    await flood('crowd', 40);
    for (let round = 0; round < 10; round++) {
      await want('user', named('user', 5, round * 5));
      expect(countOf('user', (await call()).assetIds), `round ${round}`).to.equal(5);
    }
  });

  it('gives tenants that want more than there is equal shares, also one that joins later', async () => {
    await flood('one', 12);
    await flood('two', 24);
    const served = { one: 0, two: 0, three: 0 };
    const run = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        const { assetIds } = await call();
        for (const who of ['one', 'two', 'three'] as const) served[who] += countOf(who, assetIds);
      }
    };
    await run(8);
    // Who comes first to an empty currency has paid for a whole call.
    expect(Math.abs(served.one - served.two)).to.be.at.most(perCall + 10);
    const before = { ...served };
    await flood('three', 12);
    await run(12);
    // The one that comes begins with one call more: it was owed nothing and is behind nobody.
    expect(served.three).to.be.within(4 * perCall, 5 * perCall + 10);
    expect(Math.abs(served.one - before.one - (served.two - before.two))).to.be.at.most(10);
  });

  it('does not pay a tenant for having been away', async () => {
    await flood('steady', 20);
    for (let index = 0; index < 10; index++) await call();
    await flood('back', 10);
    let back = 0;
    for (let index = 0; index < 8; index++) back += countOf('back', (await call()).assetIds);
    expect(back).to.be.within(4 * perCall - 10, 5 * perCall + 10);
  });

  it('shares calls and not assets, when a tenant spreads its wishes over many currencies', async () => {
    const currencies = Array.from({ length: 26 }, (_, index) => `x${String.fromCharCode(97 + index)}x`);
    for (const currency of currencies) await want('crowd', named('crowd', 1), { currency });
    await call();
    await want('user', named('user', 20), { currency: 'usd' });
    expect(await call()).to.have.property('currency', 'usd');
    await want('user', named('user', 2 * perCall, 100), { currency: 'usd' });
    const inUsd: boolean[] = [];
    for (let index = 0; index < 6; index++) inUsd.push((await call()).currency === 'usd');
    expect(inUsd.filter(Boolean)).to.have.length(2);
  });

  it('does not let the crowd of one user delay what the same user waits for', async () => {
    await flood('user', 20);
    await want('user', ['mine']);
    expect((await call()).assetIds).to.include('mine');
    await want('user', ['renewed'], { isPatient: true });
    expect((await call()).assetIds).to.include('renewed');
  });

  it('gives nobody a second share for cutting half of his wishes into small ones', async () => {
    const served = { small: 0, large: 0 };
    for (let round = 0; round < 12; round++) {
      const first = round * 2 * perCall;
      for (let part = 0; part < perCall; part += 5) await want('small', named('small', 5, first + part));
      await want('small', named('small', perCall, first + perCall));
      for (const half of [0, perCall]) await want('large', named('large', perCall, first + half));
      for (let index = 0; index < 2; index++) {
        const { assetIds } = await call();
        for (const who of ['small', 'large'] as const) served[who] += countOf(who, assetIds);
      }
    }
    expect(served.small).to.be.within(5 * perCall * 2, 7 * perCall * 2);
    expect(served.large).to.be.within(5 * perCall * 2, 7 * perCall * 2);
  });

  it('lets nobody come forward by asking again and again', async () => {
    await flood('one', 4);
    await flood('two', 4);
    await call();
    for (let round = 0; round < 3; round++) {
      for (let again = 0; again < 5; again++) await want('two', named('two', perCall, 3 * perCall));
      expect(countOf('one', (await call()).assetIds), `round ${round}`).to.be.within(115, 135);
    }
  });

  it('brings an asset forward that another wants too', async () => {
    await want('crowd', named('crowd', 20 * perCall));
    const [late] = named('crowd', 1, 19 * perCall);
    await want('user', [late!]);
    expect((await call()).assetIds).to.include(late);
  });

  it('keeps what is less urgent behind, and fills batches with it', async () => {
    await want(undefined, named('warm', 100), { urgency: 'warming' });
    await flood('crowd', 1);
    await want('user', named('user', 10));
    const { assetIds } = await call();
    expect(countOf('warm', assetIds)).to.equal(0);
    expect(countOf('warm', (await call()).assetIds)).to.equal(100);
  });

  it('keeps room for others when one tenant wants more than can be held', async () => {
    demand = createDemand({ redis, clock: systemClock, keys, limit: 1_000 });
    expect((await want('greedy', named('greedy', 900))).refused).to.equal(400);
    expect((await want('greedy', named('more', 10), { currency: 'eur' })).refused).to.equal(10);
    expect((await want('user', named('user', 100))).refused).to.equal(0);
    await call();
    expect((await want('greedy', named('greedy', 100, 900))).refused).to.equal(0);
  });

  it('lets one call beside it come between two of its own, while somebody waits', async () => {
    await want(undefined, named('warm', 300), { urgency: 'warming' });
    expect([await demand.mayUseNonBatchSlot(), await demand.mayUseNonBatchSlot()]).to.deep.equal([
      true,
      true,
    ]);
    await flood('crowd', 2);
    expect(await demand.mayUseNonBatchSlot()).to.equal(false);
    await call();
    expect([await demand.mayUseNonBatchSlot(), await demand.mayUseNonBatchSlot()]).to.deep.equal([
      true,
      false,
    ]);
    await call();
    expect(await demand.mayUseNonBatchSlot()).to.equal(true);
  });

  it('forgets the clocks of tenants when they say nothing any more', async () => {
    for (let user = 0; user < 50; user++) await want(`user-${user}`, [`a-${user}`]);
    const clocks = (): Promise<number> => redis.zcard(`${keys.fairClocks}:0`);
    expect(await clocks()).to.be.above(50);
    while ((await call()).assetIds.length > 0);
    await want('last', ['b']);
    expect(await clocks()).to.be.at.most(4);
    await call();
    expect(await redis.hlen(keys.demandCounts)).to.equal(0);
  });

  it('puts what was released back before what came later', async () => {
    await flood('one', 2);
    const first = await demand.lease({ currency: 'usd', owner: 'dying', maxIds: perCall, maxBytes: 10_000 });
    await call();
    await want('two', named('two', 10));
    await demand.release('usd', 'dying', first);
    const { assetIds } = await call();
    expect(countOf('one', assetIds)).to.be.at.least(perCall - 10);
    expect(assetIds[0]).to.equal(first[0]);
  });
});
