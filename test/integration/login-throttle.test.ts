import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createLoginThrottle, type LoginThrottle } from '../../src/features/accounts/login-throttle.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { RateLimitedError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

const home = '192.0.2.1';
const ada = 'ada@example.com';
const stranger = (number: number): string => `198.51.${Math.floor(number / 250)}.${(number % 250) + 1}`;

describe('the login throttle', () => {
  let redis: Redis;
  let prefix: string;
  let throttle: LoginThrottle;

  before(async () => {
    redis = new Redis((await services()).redisUrl, { enableOfflineQueue: false });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
  });
  beforeEach(() => {
    prefix = `${uniquePrefix()}:`;
    throttle = newProcess();
  });
  afterEach(() => flushPrefix(redis, prefix));
  after(() => redis.quit());

  const newProcess = (connection = redis, clock = systemClock) =>
    createLoginThrottle({ redis: connection, prefix, clock, log: silentLogger() });

  /** A login with a wrong password: undefined when it was looked at, else the seconds to wait. */
  async function fail(account = ada, address = home, by = throttle): Promise<number | undefined> {
    try {
      await by.begin({ account, address });
      return undefined;
    } catch (error) {
      expect(error).to.be.instanceOf(RateLimitedError).and.include({ status: 429, code: 'login_throttled' });
      expect((error as Error).message).to.not.include(account);
      return (error as RateLimitedError).retryAfterSeconds;
    }
  }

  async function succeed(account = ada, address = home): Promise<void> {
    await (await throttle.begin({ account, address })).succeeded();
  }

  async function failTimes(times: number, account?: string, address?: string) {
    const waits: (number | undefined)[] = [];
    for (let each = 0; each < times; each += 1) waits.push(await fail(account, address));
    return waits;
  }

  /** Time passes: what was to end in `seconds` at most has ended. */
  async function endGate(): Promise<void> {
    const gates = await redis.keys(`${prefix}login:gate:*`);
    expect(gates).to.have.length(1);
    await redis.del(gates);
  }

  it('looks at five failures, then tells to wait, and counts nobody who is told to', async () => {
    expect(await failTimes(8)).to.deep.equal([...Array.from({ length: 5 }), 10, 10, 10]);
    await endGate();
    expect(await failTimes(2)).to.deep.equal([undefined, 20]);
  });

  it('makes the waits longer, up to five minutes', async () => {
    await failTimes(5);
    const waits: (number | undefined)[] = [];
    for (let each = 0; each < 8; each += 1) {
      await endGate();
      const [looked, wait] = await failTimes(2);
      expect(looked).to.equal(undefined);
      waits.push(wait);
    }
    expect(waits).to.deep.equal([20, 40, 80, 160, 300, 300, 300, 300]);
  });

  it('lets in whoever knows the password after the wait, and forgets the failures', async () => {
    await failTimes(6);
    await endGate();
    await succeed();
    expect(await failTimes(6)).to.deep.equal([...Array.from({ length: 5 }), 10]);
  });

  it('takes back what was counted when a login succeeds', async () => {
    for (let each = 0; each < 60; each += 1) await succeed(`user-${each}@example.com`);
    for (let each = 0; each < 60; each += 1) await succeed(ada, stranger(each));
    expect(await fail()).to.equal(undefined);
  });

  it('looks at no more than five of a hundred that come at the same time', async () => {
    const waits = await Promise.all(Array.from({ length: 100 }, () => fail()));
    expect(waits.filter((wait) => wait === undefined)).to.have.length(5);
  });

  it('leaves other accounts and other addresses alone', async () => {
    await failTimes(6);
    expect(await fail('bob@example.com')).to.equal(undefined);
    expect(await fail(ada, '192.0.2.2')).to.equal(undefined);
  });

  it('stops an address after fifty failures, whatever the accounts', async () => {
    const waits = await Promise.all(
      Array.from({ length: 80 }, (_, index) => fail(`user-${index}@example.com`)),
    );
    expect(waits.filter((wait) => wait === undefined)).to.have.length(50);
    expect(await fail('bob@example.com')).to.be.within(895, 900);
    expect(await fail('bob@example.com', '192.0.2.2')).to.equal(undefined);
  });

  it('lets owners in from a spent address that they have logged in from before', async () => {
    await succeed(ada);
    await succeed('bob@example.com', '192.0.2.2');
    const spend = (owner: string) =>
      Promise.all(Array.from({ length: 60 }, (_, index) => fail(`${owner}-${index}@example.com`)));
    await spend('made-up');
    await succeed(ada);
    // Neither a stranger nor the owner of an account that is known elsewhere.
    expect(await fail('carol@example.com')).to.be.within(890, 900);
    expect(await fail('bob@example.com')).to.be.within(890, 900);
    // The known address has no more guesses of the account than any other.
    expect(await failTimes(6)).to.deep.equal([...Array.from({ length: 5 }), 10]);
  });

  it('lets owners in who come at the same instant as a neighbour spends their address', async () => {
    await succeed(ada);
    const others = Array.from({ length: 60 }, (_, index) => fail(`made-up-${index}@example.com`));
    const [mine, ...waits] = await Promise.all([fail(), ...others]);
    expect(mine).to.equal(undefined);
    expect(waits.filter((wait) => wait === undefined)).to.have.length.within(49, 50);
  });

  it('tells whether the owner has logged in from the address before', async () => {
    const isKnown = async (account: string, address: string) =>
      (await throttle.begin({ account, address })).isKnown;
    expect(await isKnown(ada, home)).to.equal(false);
    await succeed();
    expect(await isKnown(ada, home)).to.equal(true);
    expect(await isKnown(ada, '192.0.2.2')).to.equal(false);
    expect(await isKnown('bob@example.com', home)).to.equal(false);
  });

  it('knows an address for thirty days after a login, and no longer', async () => {
    const dayMs = 86_400_000;
    let now = Date.now();
    throttle = newProcess(redis, { now: () => now });
    await succeed();
    const isKnown = async () => (await throttle.begin({ account: ada, address: home })).isKnown;
    now += 29 * dayMs;
    expect(await isKnown()).to.equal(true);
    now += 2 * dayMs;
    expect(await isKnown()).to.equal(false);
  });

  it('takes all of a /64 for one address', async () => {
    for (let each = 0; each < 5; each += 1) await fail(ada, `2001:db8::${each + 1}`);
    expect(await fail(ada, '2001:db8::ffff')).to.equal(10);
    expect(await fail(ada, '2001:db8:0:1::1')).to.equal(undefined);
  });

  it('bounds the guesses of a thousand addresses, and lets the owner in from home', async () => {
    await succeed();
    const waits = await Promise.all(Array.from({ length: 1_000 }, (_, each) => fail(ada, stranger(each))));
    expect(waits.filter((wait) => wait === undefined)).to.have.length(50);
    expect(await fail(ada, '203.0.113.7')).to.be.within(895, 900);
    await succeed();
    // Home is not free of limits either.
    expect((await failTimes(6)).at(-1)).to.equal(10);
  });

  it('does not tell accounts that exist from those that do not', async () => {
    await succeed('exists@example.com');
    const seen = async (account: string) => [
      ...(await failTimes(7, account, '203.0.113.8')),
      ...(await Promise.all(Array.from({ length: 50 }, (_, each) => fail(account, stranger(each))))).map(
        (wait) => wait === undefined,
      ),
    ];
    const sorted = (outcomes: unknown[]) => outcomes.map(String).sort();
    expect(sorted(await seen('exists@example.com'))).to.deep.equal(sorted(await seen('nobody@example.com')));
  });

  it('remembers the twenty newest addresses of an account, for thirty days, and no address in clear', async () => {
    // No two logins at the same millisecond, or neither would be the newer one.
    let polls = 0;
    throttle = newProcess(redis, { now: () => Date.now() + (polls += 1) });
    for (let each = 0; each < 25; each += 1) await succeed(ada, stranger(each));
    const [known = ''] = await redis.keys(`${prefix}login:known:*`);
    expect(await redis.zcard(known)).to.equal(20);
    expect(await redis.ttl(known)).to.be.within(30 * 86_400 - 60, 30 * 86_400);
    await fail();
    const everything = [...(await redis.keys(`${prefix}*`)), ...(await redis.zrange(known, '0', '-1'))].join(
      ' ',
    );
    expect(everything).to.not.match(/ada|example|198\.51|192\.0/);
    await Promise.all(Array.from({ length: 60 }, (_, each) => fail(ada, stranger(500 + each))));
    expect(await fail(ada, stranger(24))).to.equal(undefined);
    expect(await fail(ada, stranger(5))).to.equal(undefined);
    expect(await fail(ada, stranger(4))).to.be.within(890, 900);
  });

  it('counts over all processes', async () => {
    const other = newProcess();
    await failTimes(3);
    await fail(ada, home, other);
    await fail(ada, home, other);
    expect(await fail(ada, home, other)).to.equal(10);
    expect(await fail()).to.equal(10);
  });

  it('goes on by itself while Redis is away', async () => {
    const away = new Redis('redis://127.0.0.1:1', { enableOfflineQueue: false, retryStrategy: () => null });
    away.on('error', () => undefined);
    throttle = newProcess(away);
    await succeed();
    expect((await failTimes(6)).at(-1)).to.equal(10);
    await Promise.all(Array.from({ length: 80 }, (_, each) => fail(ada, stranger(each))));
    expect(await fail(ada, '203.0.113.7')).to.be.within(895, 900);
    away.disconnect();
  });
});
