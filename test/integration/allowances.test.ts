import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createAllowances, type Allowances } from '../../src/platform/redis/allowances.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { RateLimitedError } from '../../src/domain/errors.ts';
import type { LimitPolicy, LimitState } from '../../src/domain/rate-limit.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

const policyOf = (limit: number, windowSeconds = 60): LimitPolicy => ({ name: 'user', limit, windowSeconds });

/** What became of a take: the state, or the error. */
async function outcome(allowances: Allowances, policy: LimitPolicy, subject = 'ada') {
  try {
    return await allowances.take(policy, subject);
  } catch (error) {
    expect(error).to.be.instanceOf(RateLimitedError);
    return error as RateLimitedError;
  }
}

const isLetThrough = (each: LimitState | RateLimitedError): each is LimitState => !(each instanceof Error);

describe('allowances', () => {
  let redis: Redis;
  let prefix: string;
  let open: Redis[];

  before(async () => {
    redis = new Redis((await services()).redisUrl, { enableOfflineQueue: false });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
  });
  beforeEach(() => {
    prefix = `${uniquePrefix()}:`;
    open = [];
  });
  afterEach(async () => {
    for (const each of open) each.disconnect();
    await flushPrefix(redis, prefix);
  });
  after(() => redis.quit());

  /** As another process of the fleet would have it. */
  const newProcess = (connection = redis) =>
    createAllowances({ redis: connection, prefix, clock: systemClock });

  async function takeInTurn(allowances: Allowances, policy: LimitPolicy, times: number) {
    const outcomes: (LimitState | RateLimitedError)[] = [];
    for (let each = 0; each < times; each += 1) outcomes.push(await outcome(allowances, policy));
    return outcomes;
  }

  for (const limit of [1, 7, 100, 250, 1_000]) {
    it(`lets one process take exactly ${limit}, one after the other`, async () => {
      const outcomes = await takeInTurn(newProcess(), policyOf(limit), limit + 20);
      expect(outcomes.map(isLetThrough)).to.deep.equal([
        ...Array.from({ length: limit }, () => true),
        ...Array.from({ length: 20 }, () => false),
      ]);
    });
  }

  it('tells what is left and when the window ends, to the last request and beyond', async () => {
    const policy = policyOf(300);
    const outcomes = await takeInTurn(newProcess(), policy, 301);
    const remaining = outcomes.filter(isLetThrough).map((state) => state.remaining);
    expect(remaining).to.deep.equal(Array.from({ length: 300 }, (_, index) => 299 - index));
    const last = outcomes.at(-1) as RateLimitedError;
    expect(last.limit).to.include({ policy, remaining: 0 });
    expect(last.limit?.resetSeconds).to.be.within(1, 60);
    expect([last.status, last.code, last.retryAfterSeconds]).to.deep.equal([
      429,
      'rate_limited',
      last.limit?.resetSeconds,
    ]);
    expect(last.message).to.not.include('ada');
  });

  it('answers without a promise while it holds some', async () => {
    const allowances = newProcess();
    const policy = policyOf(10_000);
    const first = allowances.take(policy, 'ada');
    expect(first).to.be.instanceOf(Promise);
    await first;
    for (let each = 0; each < 60; each += 1) {
      expect(allowances.take(policy, 'ada')).to.not.be.instanceOf(Promise);
    }
  });

  it('asks Redis once for many requests, beside them', async () => {
    const allowances = newProcess();
    const policy = policyOf(10_000);
    const counter = `${prefix}user:60:ada`;
    await allowances.take(policy, 'ada');
    expect(await redis.get(counter)).to.equal('100');
    for (let each = 0; each < 49; each += 1) void allowances.take(policy, 'ada');
    expect(await redis.get(counter)).to.equal('100');
    void allowances.take(policy, 'ada');
    await waitFor(async () => (await redis.get(counter)) === '200', { what: 'the second chunk' });
    expect(await redis.pttl(counter)).to.be.within(1, 60_000);
  });

  for (const limit of [100, 1_000]) {
    it(`lets two processes take no more than ${limit} together, and nearly all of it, all at once`, async () => {
      const processes = [newProcess(), newProcess()] as const;
      const policy = policyOf(limit);
      const takes = Array.from({ length: limit * 10 }, (_, index) =>
        outcome(processes[index % 2 === 0 ? 0 : 1], policy),
      );
      const passed = (await Promise.all(takes)).filter(isLetThrough).length;
      expect(passed).to.equal(limit);
    });
  }

  it('leaves unused at most what other processes hold', async () => {
    const policy = policyOf(1_000);
    const [idle, busy] = [newProcess(), newProcess()];
    await idle.take(policy, 'ada');
    const passed = (await takeInTurn(busy, policy, 1_100)).filter(isLetThrough).length;
    expect(passed).to.equal(990);
    expect((await takeInTurn(idle, policy, 20)).filter(isLetThrough)).to.have.length(9);
  });

  it('counts each subject, each name and each window by itself', async () => {
    const allowances = newProcess();
    const policy = policyOf(1);
    expect(isLetThrough(await outcome(allowances, policy, 'ada'))).to.equal(true);
    expect(isLetThrough(await outcome(allowances, policy, 'ada'))).to.equal(false);
    expect(isLetThrough(await outcome(allowances, policy, 'bob'))).to.equal(true);
    expect(isLetThrough(await outcome(allowances, { ...policy, name: 'key' }, 'ada'))).to.equal(true);
    expect(isLetThrough(await outcome(allowances, { ...policy, windowSeconds: 90 }, 'ada'))).to.equal(true);
  });

  it('counts what was used when a quota is changed in the middle of its window', async () => {
    const allowances = newProcess();
    await takeInTurn(allowances, policyOf(50), 30);
    expect((await takeInTurn(allowances, policyOf(40), 20)).filter(isLetThrough)).to.have.length(10);
  });

  it('knows at once what is spent, and begins anew when Redis says that the window is over', async () => {
    const allowances = newProcess();
    const policy = policyOf(2, 1);
    expect(allowances.isSpent(policy, 'ada')).to.equal(false);
    await takeInTurn(allowances, policy, 2);
    expect(allowances.isSpent(policy, 'ada')).to.equal(true);
    expect(() => allowances.take(policy, 'ada')).to.throw(RateLimitedError);
    await waitFor(() => !allowances.isSpent(policy, 'ada'), { what: 'the window to end' });
    const again = await waitFor(
      async () => {
        const state = await outcome(allowances, policy);
        return isLetThrough(state) && state;
      },
      { what: 'the next window' },
    );
    expect(again.remaining).to.be.at.most(1);
  });

  it('does not carry a chunk into the next window', async () => {
    const policy = policyOf(1_000, 1);
    let now = Date.now();
    const allowances = createAllowances({ redis, prefix, clock: { now: () => now } });
    await allowances.take(policy, 'ada');
    now += 1_100;
    await waitFor(async () => (await redis.exists(`${prefix}user:1:ada`)) === 0, {
      what: 'the window to end',
    });
    const state = allowances.take(policy, 'ada');
    expect(state).to.be.instanceOf(Promise);
    expect((await state).remaining).to.equal(999);
  });

  it('goes on when Redis has forgotten its scripts', async () => {
    const allowances = newProcess();
    await takeInTurn(allowances, policyOf(10), 2);
    await redis.script('FLUSH');
    const state = await outcome(allowances, policyOf(10));
    expect(isLetThrough(state) && state.remaining).to.equal(7);
    expect(await redis.get(`${prefix}user:60:ada`)).to.equal('3');
  });

  it('limits by itself, and without waiting, while Redis is away', async () => {
    const away = new Redis('redis://127.0.0.1:1', { enableOfflineQueue: false, retryStrategy: () => null });
    away.on('error', () => undefined);
    open.push(away);
    const allowances = newProcess(away);
    const outcomes = await Promise.all(Array.from({ length: 300 }, () => outcome(allowances, policyOf(250))));
    expect(outcomes.filter(isLetThrough)).to.have.length(250);
    expect(allowances.isSpent(policyOf(250), 'ada')).to.equal(true);
  });

  it('limits by itself when Redis does not answer, and asks it again when it does', async () => {
    const name = uniquePrefix();
    const stalled = new Redis((await services()).redisUrl, {
      enableOfflineQueue: false,
      connectionName: name,
    });
    open.push(stalled);
    await waitFor(() => stalled.status === 'ready', { what: 'Redis' });
    const allowances = newProcess(stalled);
    // Holds up this connection alone: what comes after waits for the list.
    const held = stalled.blpop(`${prefix}nothing`, 10).catch(() => null);
    const outcomes = await takeInTurn(allowances, policyOf(5), 8);
    expect(outcomes.filter(isLetThrough)).to.have.length(5);
    await redis.lpush(`${prefix}nothing`, 'go on');
    await held;
    const bob = await waitFor(
      async () => {
        await outcome(allowances, policyOf(1_000), 'bob');
        return redis.get(`${prefix}user:60:bob`);
      },
      { what: 'Redis to be asked again' },
    );
    expect(Number(bob)).to.be.at.least(10);
  });
});
