import { expect } from 'chai';
import { Redis } from 'ioredis';
import {
  createCircuitBreaker,
  readBreaker,
  type CircuitBreaker,
} from '../../../src/features/upstream/circuit-breaker.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';

const log = silentLogger();

describe('the circuit breaker of a provider', () => {
  let redis: Redis;
  const prefix = uniquePrefix();
  let key: string;
  let count = 0;
  const time = { at: 1_000_000 };
  const now = () => time.at;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    key = `${prefix}:breaker-${(count += 1)}`;
    time.at = 1_000_000;
  });
  after(async () => {
    await flushPrefix(redis, prefix);
    await redis.quit();
  });

  /** The breaker of one process; all of a test share their state. */
  const breakerOf = (): CircuitBreaker =>
    createCircuitBreaker({ redis, log, name: 'p', key, failures: 3, firstMs: 1_000, longestMs: 30_000, now });
  async function failTimes(breaker: CircuitBreaker, times: number): Promise<void> {
    for (let n = 0; n < times; n += 1) await breaker.failed(false);
  }
  async function openFor(breaker: CircuitBreaker): Promise<number> {
    const answer = await breaker.acquire();
    return answer.state === 'open' ? answer.retryInMs : 0;
  }

  it('opens after failures in a row, for every process', async () => {
    const [one, other] = [breakerOf(), breakerOf()];
    await failTimes(one, 2);
    expect(await other.acquire()).to.deep.equal({ state: 'closed' });
    await failTimes(other, 1);
    expect(await openFor(one)).to.be.within(500, 1_000);
    expect(await readBreaker(redis, key, now)).to.include({ state: 'open', failures: 3 });
  });

  it('stays closed when a good answer comes in between', async () => {
    const breaker = breakerOf();
    await failTimes(breaker, 2);
    await breaker.succeeded();
    await failTimes(breaker, 2);
    expect(await breaker.acquire()).to.deep.equal({ state: 'closed' });
  });

  it('lets exactly one of many try after the pause', async () => {
    const [one, other] = [breakerOf(), breakerOf()];
    await failTimes(one, 3);
    time.at += await openFor(one);
    expect((await readBreaker(redis, key, now)).state).to.equal('half_open');
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? one : other).acquire()),
    );
    expect(answers.filter(({ state }) => state === 'probe')).to.have.length(1);
    expect(answers.filter(({ state }) => state === 'open')).to.have.length(49);
  });

  it('lets everybody in after a good probe', async () => {
    const [one, other] = [breakerOf(), breakerOf()];
    await failTimes(one, 3);
    time.at += await openFor(one);
    await one.acquire();
    await one.succeeded();
    expect([(await one.acquire()).state, (await other.acquire()).state]).to.deep.equal(['closed', 'closed']);
  });

  it('doubles the pause with each probe that fails, up to the longest', async () => {
    const breaker = breakerOf();
    await failTimes(breaker, 3);
    const pauses = [await openFor(breaker)];
    for (let probe = 1; probe <= 8; probe += 1) {
      time.at += pauses.at(-1)!;
      expect((await breaker.acquire()).state).to.equal('probe');
      await breaker.failed(true);
      pauses.push(await openFor(breaker));
    }
    for (const [n, pause] of pauses.entries()) {
      const whole = Math.min(30_000, 1_000 * 2 ** n);
      // A random half of it is taken away, so that fleets do not move in step.
      expect(pause, `pause ${n}`).to.be.within(whole / 2, whole);
    }
  });

  it('is not kept open by answers to calls that were sent before it opened', async () => {
    const breaker = breakerOf();
    await failTimes(breaker, 3);
    const pause = await openFor(breaker);
    await failTimes(breaker, 20);
    expect(await openFor(breaker)).to.equal(pause);
  });

  it('gives the probe to another when it was not used, or its process died', async () => {
    const breaker = breakerOf();
    await failTimes(breaker, 3);
    time.at += await openFor(breaker);
    expect((await breaker.acquire()).state).to.equal('probe');
    await breaker.cancel();
    expect((await breaker.acquire()).state).to.equal('probe');
    expect((await breaker.acquire()).state).to.equal('open');
    time.at += 30_000;
    expect((await breaker.acquire()).state).to.equal('probe');
  });

  it('lets calls pass while Redis cannot be asked', async () => {
    const away = new Redis((await services()).redisUrl);
    const breaker = createCircuitBreaker({ redis: away, log, name: 'p', key, failures: 1, longestMs: 1_000 });
    away.disconnect();
    await breaker.failed(false);
    expect(await breaker.acquire()).to.deep.equal({ state: 'closed' });
  });
});
