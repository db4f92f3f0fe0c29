import { expect } from 'chai';
import { Redis } from 'ioredis';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { openFleetClock, type FleetClock } from '../../src/platform/redis/fleet-clock.ts';
import { uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

const hourMs = 3_600_000;
/** What a busy machine may take between two questions. */
const roomMs = 30_000;

describe('the clock of a fleet', () => {
  let redis: Redis;
  let key: string;
  let clocks: FleetClock[];

  before(async () => {
    redis = new Redis((await services()).redisUrl);
    await redis.ping();
  });
  beforeEach(() => {
    key = `${uniquePrefix()}:clock`;
    clocks = [];
  });
  afterEach(async () => {
    for (const clock of clocks) clock.close();
    await redis.del(key);
  });
  after(() => redis.quit());

  /** A clock on a machine whose own is `leadMs` ahead; `passedMs` has gone by beside what really has. */
  async function clockOf(leadMs = 0, passedMs = (): number => 0): Promise<FleetClock> {
    const machine = {
      wall: () => Date.now() + leadMs + passedMs(),
      monotonic: () => performance.now() + passedMs(),
    };
    const clock = openFleetClock({ redis, key, log: silentLogger(), machine });
    clocks.push(clock);
    await clock.whenKnown(roomMs);
    return clock;
  }
  /** Makes a clock look at Redis now. */
  async function poll(clock: FleetClock): Promise<void> {
    await new Promise<void>((resolve) => {
      const stop = clock.onPoll(() => {
        stop();
        resolve();
      });
      redis.emit('ready');
    });
  }
  const redisNow = async (): Promise<number> => Number((await redis.time())[0]) * 1_000;

  it('is the time of Redis on machines that are ahead or behind', async () => {
    for (const leadMs of [hourMs, -hourMs, 0]) {
      const clock = await clockOf(leadMs);
      expect(clock.now()).to.be.closeTo(await redisNow(), roomMs);
      expect(clock.leadMs()).to.be.closeTo(leadMs, roomMs);
    }
  });

  it('goes on where it was when the clock of Redis goes back, for processes that start later too', async () => {
    const before = await clockOf();
    // As if Redis had been an hour ahead at the last look of anybody.
    await redis.hset(key, 'last', (await redisNow()) + hourMs);
    await poll(before);
    const atLook = before.now();
    expect(atLook - (await redisNow())).to.be.closeTo(hourMs, roomMs);
    const after = await clockOf();
    expect(after.now()).to.be.closeTo(before.now(), roomMs);
  });

  it('is slowed down, and never goes back, until Redis has caught up', async () => {
    let passedMs = 0;
    const clock = await clockOf(0, () => passedMs);
    await redis.hset(key, 'ahead', hourMs);
    await poll(clock);
    const ahead = clock.now();
    // What the fleet agreed on is lost with a Redis that was wiped.
    await redis.del(key);
    await poll(clock);
    const atOnce = clock.now();
    expect(atOnce).to.be.at.least(ahead);
    passedMs = 5 * hourMs;
    expect(clock.now() - atOnce).to.be.closeTo(4.5 * hourMs, roomMs);
    passedMs = 20 * hourMs;
    expect(clock.now() - (Date.now() + passedMs), 'caught up').to.be.closeTo(0, roomMs);
  });

  it('goes ahead at once, so that nothing looks younger than it is', async () => {
    const clock = await clockOf();
    await redis.hset(key, 'ahead', hourMs);
    await poll(clock);
    expect(clock.now() - (await redisNow())).to.be.closeTo(hourMs, roomMs);
  });

  it('is that of the machine as long as Redis has not answered', () => {
    const away = new Redis(1, '127.0.0.1', { lazyConnect: true, enableOfflineQueue: false });
    away.on('error', () => undefined);
    const clock = openFleetClock({ redis: away, key, log: silentLogger() });
    clocks.push(clock);
    expect(clock.leadMs()).to.equal(undefined);
    expect(clock.now()).to.be.closeTo(Date.now(), roomMs);
    away.disconnect();
  });

  it('looks again by itself when Redis is back', async () => {
    const own = redis.duplicate();
    await own.ping();
    const clock = openFleetClock({ redis: own, key, log: silentLogger() });
    clocks.push(clock);
    await clock.whenKnown(roomMs);
    let polls = 0;
    clock.onPoll(() => polls++);
    own.disconnect(true);
    await waitFor(() => polls > 0, { what: 'another look' });
    own.disconnect();
  });
});
