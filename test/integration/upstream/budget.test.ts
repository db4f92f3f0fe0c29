import { expect } from 'chai';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import type { Urgency } from '../../../src/domain/quote.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { AcquireResult, Budget, Grant } from '../../../src/features/upstream/budget/budget.ts';
import {
  budgetKeys,
  createRedisBudget,
  type RedisBudgetOptions,
} from '../../../src/features/upstream/budget/redis-budget.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { createMemoryLedger, type MemoryLedger } from './memory-ledger.ts';

const minuteMs = 60_000;

describe('budget', () => {
  const prefix = uniquePrefix();
  const start = Date.parse('2027-01-01T00:00:00Z');
  const clients: Redis[] = [];
  let redis: Redis;
  let time: number;
  let callLog: MemoryLedger;
  let key = 0;

  async function connect(): Promise<Redis> {
    const client = new Redis((await services()).redisUrl, { maxRetriesPerRequest: 1 });
    client.on('error', () => undefined);
    clients.push(client);
    return client;
  }
  before(async () => {
    redis = await connect();
  });
  beforeEach(() => fresh());
  after(async () => {
    await flushPrefix(redis, prefix);
    for (const client of clients) client.disconnect();
  });

  function fresh(): void {
    time = start;
    callLog = createMemoryLedger(() => time);
    key += 1;
  }
  function budgetOf(limit: number, options: Partial<RedisBudgetOptions> = {}): Budget {
    const now = (): number => Math.floor(time);
    return createRedisBudget({
      redis,
      callLog,
      log: silentLogger(),
      prefix,
      key: `k${key}`,
      limit,
      now,
      ...options,
    });
  }
  const keys = (): { log: string; state: string } => budgetKeys(prefix, `k${key}`);
  async function wipe(): Promise<void> {
    await redis.del(keys().log, keys().state);
  }
  function grantIn(result: AcquireResult): Grant {
    if ('granted' in result) return result.granted;
    throw new Error(`refused: ${result.reason}, ${result.waitMs} ms`);
  }
  function refusalIn(result: AcquireResult): { waitMs: number; reason: string } {
    if ('granted' in result) throw new Error('granted');
    return result;
  }
  /** Takes calls as fast as they are granted; each ends at once. @returns how many there were within `ms`. */
  async function drain(budget: Budget, urgency: Urgency, ms: number): Promise<number[]> {
    const times: number[] = [];
    const until = time + ms;
    while (time < until) {
      const result = await budget.tryAcquire(urgency);
      if ('granted' in result) {
        times.push(time);
        await result.granted.settle('ok');
      } else time = Math.min(time + result.waitMs, until);
    }
    return times;
  }

  it('uses the whole limit and not one call more', async () => {
    const budget = budgetOf(10);
    const first = await drain(budget, 'interactive', minuteMs + 499);
    expect(first).to.have.length(10);
    expect(await budget.status()).to.include({
      ready: true,
      limit: 10,
      used: 10,
      available: 0,
      blockedForMs: 0,
    });
  });

  it('lets a user have half of the window at once and spreads the rest', async () => {
    const budget = budgetOf(10);
    const times = await drain(budget, 'interactive', minuteMs + 499);
    expect(times.filter((at) => at === start)).to.have.length(5);
    const gaps = times.slice(5).map((at, i) => at - (times[i + 4] ?? 0));
    for (const gap of gaps) expect(gap).to.be.within(9_000, 12_100);
  });

  for (const background of ['warming', 'backfill'] as const) {
    it(`gives users half of the window at once, whatever ${background} has taken`, async () => {
      const budget = budgetOf(30);
      await drain(budget, background, 2 * minuteMs + 500);
      const [burst, others] = [
        await drain(budget, 'interactive', 1),
        await drain(budget, background, minuteMs),
      ];
      expect(burst).to.have.length(15);
      expect(others.length, 'goes on').to.be.at.least(5);
    });
  }

  it('leaves to users what they took at once lately, and a tenth to warming', async () => {
    const budget = budgetOf(30);
    const users = await drain(budget, 'interactive', minuteMs + 499);
    expect(users).to.have.length(30);
    time += 2 * minuteMs;
    expect((await budget.status()).spare).to.deep.equal({ perMinute: 3, now: 3 });
    expect(await drain(budget, 'warming', minuteMs)).to.have.length(3);
    time += 15 * minuteMs;
    expect((await budget.status()).spare).to.deep.equal({ perMinute: 15, now: 15 });
  });

  it('leaves a tenth to warming beside streams that take more than half of the window', async () => {
    const budget = budgetOf(30);
    let warming = 0;
    for (let second = 0; second < 5 * 60; second += 1) {
      for (const urgency of second % 3 === 0 ? (['stream', 'warming'] as const) : (['warming'] as const)) {
        const result = await budget.tryAcquire(urgency, 0);
        if (!('granted' in result)) continue;
        await result.granted.settle('ok');
        if (urgency === 'warming') warming += 1;
      }
      time += 1_000;
    }
    expect(warming).to.be.within(4 * 3, 5 * 10);
  });

  it('foretells when each of the next users has a call', async () => {
    for (const background of [undefined, 'warming', 'stream'] as const) {
      fresh();
      const budget = budgetOf(30);
      if (background !== undefined) await drain(budget, background, minuteMs + 12_345);
      const { grantsInMs } = await budget.status();
      expect(grantsInMs).to.have.length(40);
      const begin = time;
      const granted = (await drain(budget, 'interactive', 2 * minuteMs)).map((at) => at - begin);
      for (const [index, foretold] of grantsInMs.entries())
        expect(granted[index], `call ${index + 1} beside ${background ?? 'nobody'}`).to.be.at.most(
          foretold + 250,
        );
      const [soon, late] = [grantsInMs[0], grantsInMs.at(-1)];
      expect(soon).to.equal(granted[0]);
      expect(late, 'and not much sooner').to.be.below((granted[39] ?? 0) + 5_000);
    }
  });

  it('keeps the place of a user whose job comes back when its time has come', async () => {
    const budget = budgetOf(4);
    await drain(budget, 'stream', 50_000);
    const { waitMs } = refusalIn(await budget.tryAcquire('interactive', 1_000));
    expect(waitMs).to.be.above(1_000);
    time += waitMs;
    expect(refusalIn(await budget.tryAcquire('stream')).reason).to.equal('paced');
    time += 300;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('counts a call from its end on, however long it lasted', async () => {
    const budget = budgetOf(1, { callDeadlineMs: 30_000 });
    const grant = grantIn(await budget.tryAcquire('interactive'));
    time += 20_000;
    await grant.settle('ok');
    time += minuteMs - 1;
    expect(refusalIn(await budget.tryAcquire('interactive')).waitMs).to.be.within(1, 501);
    time += 501;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('counts a call without an answer until the last moment in which it can have arrived', async () => {
    const budget = budgetOf(1, { callDeadlineMs: 30_000 });
    const grant = grantIn(await budget.tryAcquire('interactive'));
    time += 10;
    await grant.settle('unanswered');
    time = start + 30_000 + minuteMs;
    expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('window');
    time += 501;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('gives back what was not used, once', async () => {
    const budget = budgetOf(1);
    const grant = grantIn(await budget.tryAcquire('interactive'));
    await grant.release();
    expect(callLog.rows.size).to.equal(0);
    const second = grantIn(await budget.tryAcquire('interactive'));
    await grant.release();
    await grant.settle('ok');
    expect((await budget.status()).used).to.equal(1);
    await second.settle('ok');
    await second.release();
    expect((await budget.status()).used).to.equal(1);
  });

  for (const urgency of ['interactive', 'stream', 'warming', 'backfill'] as const) {
    for (const limit of [1, 2, 3, 30]) {
      it(`never starves ${urgency} when nobody else asks, at ${limit} a minute`, async () => {
        const granted = await drain(budgetOf(limit), urgency, 5 * minuteMs);
        const share = { interactive: 1, stream: 1, warming: 0.5, backfill: 0.4 }[urgency];
        expect(granted.length).to.be.at.least(Math.max(1, Math.floor(limit * share)) * 5 * 0.95 - 1);
      });
    }
  }

  it('grants nothing to anybody while the provider has forbidden it, and never shortens that', async () => {
    const budget = budgetOf(10);
    await budget.block(30_000);
    await budget.block(5_000);
    expect(refusalIn(await budgetOf(10).tryAcquire('interactive'))).to.deep.equal({
      waitMs: 30_000,
      reason: 'blocked',
    });
    expect((await budget.status()).blockedForMs).to.equal(30_000);
    time += 30_000;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('never shortens a block where the log is whole, either', async () => {
    const budget = budgetOf(10);
    grantIn(await budget.tryAcquire('interactive'));
    await budget.block(30_000);
    await budget.block(5_000);
    expect(refusalIn(await budget.tryAcquire('interactive')).waitMs).to.equal(30_000);
  });

  it('holds nobody back for a wish that was granted before its time', async () => {
    const budget = budgetOf(1);
    const first = grantIn(await budget.tryAcquire('interactive'));
    expect(refusalIn(await budget.tryAcquire('interactive', 3_600_000)).waitMs).to.be.above(50_000);
    await first.release();
    await grantIn(await budget.tryAcquire('interactive')).release();
    grantIn(await budget.tryAcquire('warming'));
  });

  it('forgets calls that no window holds any more', async () => {
    const budget = budgetOf(5, { month: { credits: 100_000 } });
    await drain(budget, 'interactive', 10 * minuteMs);
    expect(callLog.rows.size).to.be.above(40);
    // Those of the last window, and the mark of the log.
    expect(await redis.zcard(keys().log)).to.be.at.most(5 + 1);
    const fields = await redis.hkeys(keys().state);
    expect(fields.filter((field) => field.startsWith('c:'))).to.have.length.at.most(5);
  });

  describe('when Redis forgets', () => {
    const losses: Readonly<Record<string, () => Promise<unknown>>> = {
      'both keys (FLUSHALL)': wipe,
      'the log': () => redis.del(keys().log),
      'the state': () => redis.del(keys().state),
      'the tail, by a restart': async () => {
        // A restarted Redis has another run id; what it read from its file may lack the last second.
        await redis.hset(keys().state, 'epoch', 'another');
        await redis.zremrangebyscore(keys().log, start - minuteMs, start + 3 * minuteMs);
      },
    };
    for (const [loss, lose] of Object.entries(losses)) {
      it(`makes no new burst after the loss of ${loss}`, async () => {
        const budget = budgetOf(4);
        await drain(budget, 'interactive', minuteMs);
        const running = callLog.rows.size;
        expect(running).to.equal(4);
        await lose();
        refusalIn(await budget.tryAcquire('interactive'));
        expect((await budget.status()).used).to.equal(4);
      });
    }

    it('remembers for how long the provider has forbidden calls', async () => {
      const budget = budgetOf(4);
      await budget.block(30_000);
      await wipe();
      expect(refusalIn(await budget.tryAcquire('interactive'))).to.deep.include({ reason: 'blocked' });
    });

    it('remembers what the ledger was not told: a block outlives the log in the state', async () => {
      const budget = budgetOf(4);
      grantIn(await budget.tryAcquire('interactive'));
      callLog.down = true;
      await budget.block(30_000);
      callLog.down = false;
      await redis.del(keys().log);
      expect(refusalIn(await budget.tryAcquire('interactive'))).to.deep.equal({
        waitMs: 30_000,
        reason: 'blocked',
      });
    });

    it('remembers what Redis was not told: the longer of two blocks counts', async () => {
      const budget = budgetOf(4);
      await budget.block(5_000);
      await callLog.block({ budgetKey: `k${key}`, ms: 20_000 });
      await redis.del(keys().log);
      expect(refusalIn(await budget.tryAcquire('interactive'))).to.include({ waitMs: 20_000 });
    });

    it('grants nothing while the ledger cannot be read, then goes on', async () => {
      const budget = budgetOf(4);
      grantIn(await budget.tryAcquire('interactive'));
      await wipe();
      callLog.down = true;
      expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('unreachable');
      expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('unreachable');
      expect((await budget.status()).ready).to.equal(false);
      callLog.down = false;
      time += 10 * minuteMs;
      grantIn(await budget.tryAcquire('interactive'));
    });

    it('grants nothing while the month of the ledger is not summed, of which each try sums some', async () => {
      const budget = budgetOf(5);
      let left = 3;
      callLog.sumHours = () => Promise.resolve(--left <= 0);
      for (const requested of [1, 2])
        expect(refusalIn(await budget.tryAcquire('interactive')).reason, String(requested)).to.equal(
          'unreachable',
        );
      grantIn(await budget.tryAcquire('interactive'));
    });

    it('voids a grant that was lost before its row could be found', async () => {
      const budget = budgetOf(4);
      callLog.afterRecord = wipe;
      expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('unreachable');
    });

    it('refuses a rebuild from a reading that is older than the last loss', async () => {
      const slow = budgetOf(1);
      await wipe();
      // Between the slow one's reading and its rebuild, another rebuilds, calls, and everything is lost again.
      callLog.afterRecent = async () => {
        callLog.afterRecent = undefined;
        grantIn(await budgetOf(1).tryAcquire('interactive'));
        await wipe();
      };
      refusalIn(await slow.tryAcquire('interactive'));
      expect(refusalIn(await slow.tryAcquire('interactive')).reason).to.equal('window');
      expect(callLog.rows.size).to.equal(1);
    });
  });

  it('grants nothing when a grant cannot be written to the ledger, and does not count it', async () => {
    const budget = budgetOf(4);
    grantIn(await budget.tryAcquire('interactive'));
    callLog.down = true;
    expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('unreachable');
    expect((await budget.status()).used).to.equal(1);
  });

  it('grants nothing when Redis is away, and says so within its deadline', async () => {
    const away = new Redis({ port: 1, host: '127.0.0.1', maxRetriesPerRequest: null });
    away.on('error', () => undefined);
    clients.push(away);
    const budget = budgetOf(4, { redis: away, redisTimeoutMs: 50 });
    expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('unreachable');
    expect(await budget.status()).to.include({ ready: false, available: 0 });
    await budget.block(1_000);
  });

  it('is one budget for clients that ask at the same moment', async () => {
    const budgets = await Promise.all(
      Array.from({ length: 4 }, async () => budgetOf(10, { redis: await connect() })),
    );
    let granted = 0;
    for (let round = 0; round < 68; round += 1) {
      const requested = budgets.flatMap((budget) => [budget, budget, budget]);
      const results = await Promise.all(requested.map((budget) => budget.tryAcquire('interactive')));
      granted += results.filter((result) => 'granted' in result).length;
      time += 1_000;
    }
    expect(granted).to.equal(10);
  });

  it('never lets more than the limit arrive in any 60 s, whatever the jitter, the losses and the order', async function () {
    this.timeout(60_000);
    const step = fc.record({
      pauseMs: fc.oneof(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 20_000 })),
      urgency: fc.constantFrom<Urgency>('interactive', 'stream', 'warming'),
      durationMs: fc.integer({ min: 1, max: 15_000 }),
      arrivesAt: fc.double({ min: 0, max: 1, noNaN: true }),
      fate: fc.constantFrom('ok', 'ok', 'ok', 'unanswered', 'released', 'crashed'),
      wiped: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    });
    const run = fc.asyncProperty(
      fc.integer({ min: 1, max: 8 }),
      fc.array(step, { minLength: 30, maxLength: 60 }),
      async (limit, steps) => {
        fresh();
        const budget = budgetOf(limit);
        const arrivals: number[] = [];
        let ends: { at: number; end: () => Promise<void> }[] = [];
        for (const { pauseMs, urgency, durationMs, arrivesAt, fate, wiped } of steps) {
          const until = time + pauseMs;
          for (const due of ends.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)) {
            time = due.at;
            await due.end();
          }
          ends = ends.filter(({ at }) => at > until);
          time = until;
          if (wiped) await wipe();
          const result = await budget.tryAcquire(urgency);
          if (!('granted' in result)) continue;
          const { granted } = result;
          if (fate === 'released') {
            ends.push({ at: time + durationMs, end: () => granted.release() });
            continue;
          }
          // Without an answer the call may arrive until its deadline, long after it was given up.
          const latestMs = fate === 'ok' ? durationMs : granted.lastsMs;
          arrivals.push(time + arrivesAt * latestMs);
          if (fate === 'crashed') continue;
          ends.push({
            at: time + durationMs,
            end: () => granted.settle(fate === 'ok' ? 'ok' : 'unanswered'),
          });
        }
        arrivals.sort((a, b) => a - b);
        for (let i = limit; i < arrivals.length; i += 1) {
          expect((arrivals[i] ?? 0) - (arrivals[i - limit] ?? 0)).to.be.at.least(minuteMs);
        }
      },
    );
    await fc.assert(run, { numRuns: 200, interruptAfterTimeLimit: 40_000 });
  });
});
