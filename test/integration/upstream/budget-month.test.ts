/** Credits of a month beside the calls of a minute, what the provider tells of both, and what a 429 does to the minute. */
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
import { simulateMonth } from '../../support/month-simulation.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { createMemoryLedger, type MemoryLedger } from './memory-ledger.ts';

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

describe('month of the budget', function () {
  this.timeout(60_000);
  const prefix = uniquePrefix();
  const begin = Date.parse('2027-04-01T00:00:00Z');
  const end = Date.parse('2027-05-01T00:00:00Z');
  let redis: Redis;
  let time: number;
  let callLog: MemoryLedger;
  let key = 0;
  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => fresh());
  after(async () => {
    await flushPrefix(redis, prefix);
    redis.disconnect();
  });

  function fresh(at = begin + 10 * dayMs): void {
    time = at;
    callLog = createMemoryLedger(() => time);
    key += 1;
  }
  function budgetOf(credits: number | undefined, options: Partial<RedisBudgetOptions> = {}): Budget {
    return createRedisBudget({
      redis,
      callLog,
      log: silentLogger(),
      prefix,
      key: `m${key}`,
      limit: 1_000,
      now: () => Math.floor(time),
      ...(credits === undefined ? {} : { month: { credits } }),
      ...options,
    });
  }
  async function wipe(): Promise<void> {
    const { log, state } = budgetKeys(prefix, `m${key}`);
    await redis.del(log, state);
  }
  function grantIn(result: AcquireResult): Grant {
    if ('granted' in result) return result.granted;
    throw new Error(`refused: ${result.reason}, ${result.waitMs} ms`);
  }
  function refusalIn(result: AcquireResult): { waitMs: number; reason: string } {
    if ('granted' in result) throw new Error('granted');
    return result;
  }
  async function monthOf(budget: Budget) {
    const { month } = await budget.status();
    if (month === null) throw new Error('there is no month');
    return month;
  }
  /** Takes what is granted within `ms`, however long the waits. @returns the number of calls. */
  async function drain(budget: Budget, urgency: Urgency, ms: number): Promise<number> {
    let calls = 0;
    const until = time + ms;
    while (time < until) {
      const result = await budget.tryAcquire(urgency);
      if ('granted' in result) {
        calls += 1;
        await result.granted.settle('ok');
      } else time = Math.min(time + result.waitMs, until);
    }
    return calls;
  }

  it('counts what a call costs, and gives back what was not made or not charged', async () => {
    const budget = budgetOf(1_000);
    const spent = async (): Promise<number> => (await monthOf(budget)).spent;
    const call = async (credits: number): Promise<Grant> =>
      grantIn(await budget.tryAcquire('interactive', minuteMs, credits));
    await (await call(3)).settle('ok');
    await (await call(2)).settle('unanswered');
    await (await call(2)).settle('server_error');
    await (await call(1)).settle('bad_response');
    expect(await spent()).to.equal(8);
    await (await call(5)).settle('rejected');
    await (await call(5)).release();
    expect(await spent()).to.equal(8);
    await wipe();
    expect(await spent()).to.equal(8);
  });

  it('charges refusals and failures as configured', async () => {
    for (const [charged, credits] of [
      ['always', 3],
      ['unless_refused', 2],
      ['when_successful', 1],
    ] as const) {
      fresh();
      const budget = budgetOf(1_000, { charged });
      for (const outcome of ['ok', 'rejected', 'server_error'] as const)
        await grantIn(await budget.tryAcquire('interactive')).settle(outcome);
      expect((await monthOf(budget)).spent, charged).to.equal(credits);
      await wipe();
      expect((await monthOf(budget)).spent, charged).to.equal(credits);
    }
  });

  it('keeps a reserve of which only users take, and spreads the rest evenly', async () => {
    fresh(begin);
    const budget = budgetOf(3_000);
    const day = await drain(budget, 'warming', dayMs);
    // A day's part is 100; what lies ready at the begin comes on top.
    expect(day).to.be.within(80, 120);
    const { reserve, left, atHand } = await monthOf(budget);
    expect(left).to.equal(3_000 - day);
    expect(reserve).to.be.within(150, 210);
    expect(atHand.warming).to.be.below(1);
    const { waitMs, reason } = refusalIn(await budget.tryAcquire('warming'));
    expect(reason).to.equal('month');
    expect(waitMs).to.be.within(1, 600_000);
    expect(await drain(budget, 'interactive', 1_000)).to.be.at.least(150);
  });

  it('lets warming and backfill wait for a user who found nothing, and streams go on', async () => {
    const budget = budgetOf(3_000);
    await drain(budget, 'interactive', minuteMs);
    const { waitMs } = refusalIn(await budget.tryAcquire('interactive', 0));
    time += waitMs - 1_000;
    for (const urgency of ['warming', 'backfill'] as const)
      expect(refusalIn(await budget.tryAcquire(urgency)).reason, urgency).to.equal('month');
    time += 1_000;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('lets nobody wait for a user who has had his call before it was due', async () => {
    const budget = budgetOf(3_000);
    // Of calls that nobody waits for one is under way at a time.
    const spare = grantIn(await budget.tryAcquire('warming', 0, 3));
    await drain(budget, 'interactive', minuteMs);
    expect(refusalIn(await budget.tryAcquire('interactive', 0)).reason).to.equal('month');
    await spare.release();
    await grantIn(await budget.tryAcquire('interactive')).settle('ok');
    time += minuteMs;
    grantIn(await budget.tryAcquire('warming'));
  });

  it('tells a user who found nothing when there will be something, and keeps its word', async () => {
    const budget = budgetOf(3_000);
    await drain(budget, 'interactive', minuteMs);
    expect((await budget.status()).available).to.equal(0);
    const { nextGrantInMs } = await budget.status();
    expect(nextGrantInMs).to.be.within(1, 20 * minuteMs);
    time += nextGrantInMs;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('waits for the next month when nothing is left, and begins it with all of its credits', async () => {
    callLog.rows.set('before', { countedUntil: time - hourMs, outcome: 'ok', credits: 100 });
    const budget = budgetOf(100);
    expect(refusalIn(await budget.tryAcquire('interactive'))).to.include({
      waitMs: 600_000,
      reason: 'month',
    });
    expect((await budget.status()).nextGrantInMs).to.be.within(end - time, end - time + minuteMs);
    time = end + minuteMs;
    grantIn(await budget.tryAcquire('interactive'));
    expect(await monthOf(budget)).to.include({ spent: 1, left: 99, startsAt: end });
  });

  it('spends a month to its end and not beyond, though everybody always wants more', async () => {
    fresh(begin);
    const budget = budgetOf(300);
    for (let day = 0; day < 30; day += 1) {
      const before = (await monthOf(budget)).left;
      expect(before, `day ${day}`).to.be.at.least(1);
      for (const urgency of ['interactive', 'stream', 'warming', 'backfill'] as const)
        await drain(budget, urgency, 6 * hourMs);
    }
    time = end - 1;
    expect((await monthOf(budget)).spent).to.be.within(290, 300);
    expect(callLog.rows.size).to.be.at.most(300);
  });

  it('lets nobody have more at the turn than the old month still has', async () => {
    fresh(end - 10_000);
    callLog.rows.set('before', { countedUntil: time - hourMs, outcome: 'ok', credits: 999 });
    const budget = budgetOf(1_000);
    expect(refusalIn(await budget.tryAcquire('interactive', 0, 2)).reason).to.equal('month');
    expect(refusalIn(await budget.tryAcquire('stream', 0)).reason).to.equal('month');
    grantIn(await budget.tryAcquire('interactive'));
    const { waitMs, reason } = refusalIn(await budget.tryAcquire('interactive'));
    expect([waitMs, reason]).to.deep.equal([40_000, 'month']);
    time += waitMs;
    grantIn(await budget.tryAcquire('interactive'));
  });

  it('counts a call near the turn in both months', async () => {
    fresh(end - 5_000);
    const budget = budgetOf(1_000);
    const grant = grantIn(await budget.tryAcquire('interactive', minuteMs, 7));
    time += 10_000;
    await grant.settle('ok');
    expect(await monthOf(budget)).to.include({ startsAt: begin, spent: 7 });
    time += minuteMs;
    expect(await monthOf(budget)).to.include({ startsAt: end, spent: 7 });
    grantIn(await budget.tryAcquire('interactive'));
    expect((await monthOf(budget)).spent).to.equal(8);
  });

  it('never lets more than the month count at a provider whose clock is up to 30 s off, whatever happens', async () => {
    const step = fc.record({
      pauseMs: fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 40_000 })),
      credits: fc.integer({ min: 1, max: 4 }),
      durationMs: fc.integer({ min: 1, max: 15_000 }),
      arrivesAt: fc.double({ min: 0, max: 1, noNaN: true }),
      fate: fc.constantFrom('ok', 'ok', 'ok', 'ok', 'unanswered', 'rejected', 'released', 'crashed'),
      wiped: fc.integer({ min: 0, max: 14 }).map((n) => n === 0),
    });
    const run = fc.asyncProperty(
      fc.integer({ min: 5, max: 40 }),
      fc.integer({ min: -30_000, max: 30_000 }),
      fc.array(step, { minLength: 40, maxLength: 60 }),
      async (credits, skewMs, steps) => {
        fresh(end - 240_000);
        const budget = budgetOf(credits);
        const counted = [0, 0];
        let ends: { at: number; end: () => Promise<void> }[] = [];
        for (const { pauseMs, durationMs, arrivesAt, fate, wiped, ...wanted } of steps) {
          const until = time + pauseMs;
          for (const due of ends.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)) {
            time = due.at;
            await due.end();
          }
          ends = ends.filter(({ at }) => at > until);
          time = until;
          if (wiped) await wipe();
          const result = await budget.tryAcquire('interactive', 0, wanted.credits);
          if (!('granted' in result)) continue;
          const { granted } = result;
          const latestMs = fate === 'ok' || fate === 'rejected' ? durationMs : granted.lastsMs;
          const at = time + arrivesAt * latestMs;
          const month = Math.floor(at + skewMs) < end ? 0 : 1;
          if (fate !== 'released' && fate !== 'rejected')
            counted[month] = (counted[month] ?? 0) + wanted.credits;
          if (fate === 'crashed') continue;
          const finish = (): Promise<void> =>
            fate === 'released' ? granted.release() : granted.settle(fate);
          ends.push({ at: time + durationMs, end: finish });
        }
        expect(Math.max(...counted)).to.be.at.most(credits);
      },
    );
    await fc.assert(run, { numRuns: 100, interruptAfterTimeLimit: 30_000 });
  });

  describe('what the provider tells', () => {
    const reported = (part: {
      callsPerMinute?: number;
      creditsPerMonth?: number;
      spent?: number;
    }): Parameters<Budget['applyReportedLimits']>[0] => ({
      callsPerMinute: undefined,
      creditsPerMonth: undefined,
      spent: undefined,
      agoMs: 200,
      ...part,
    });

    it('lowers what is configured and does not raise it', async () => {
      const budget = budgetOf(1_000, { limit: 30 });
      await budget.status();
      await budget.applyReportedLimits(reported({ callsPerMinute: 500, creditsPerMonth: 400 }));
      expect(await budget.status()).to.include({ limit: 30, fullLimit: 30 });
      expect((await monthOf(budget)).credits).to.equal(400);
      await wipe();
      expect((await monthOf(budget)).credits).to.equal(400);
    });

    it('stands for what is only assumed', async () => {
      const budget = budgetOf(undefined, { limit: 30, assumed: { limit: true, month: true } });
      expect((await budget.status()).month).to.equal(null);
      await grantIn(await budget.tryAcquire('interactive')).settle('ok');
      await budget.applyReportedLimits(reported({ callsPerMinute: 500, creditsPerMonth: 100_000 }));
      expect(await budget.status()).to.include({ limit: 500 });
      expect(await monthOf(budget)).to.include({ credits: 100_000, spent: 1 });
    });

    it('counts what others have spent with the same key, and remembers it', async () => {
      const budget = budgetOf(1_000);
      for (let i = 0; i < 5; i += 1) await grantIn(await budget.tryAcquire('interactive')).settle('ok');
      time += 10_000;
      await budget.applyReportedLimits(reported({ spent: 305 }));
      expect((await monthOf(budget)).spent).to.equal(305);
      await budget.applyReportedLimits(reported({ spent: 200 }));
      expect((await monthOf(budget)).spent, 'its count never lowers ours').to.equal(305);
      await wipe();
      expect((await monthOf(budget)).spent).to.equal(305);
      time += minuteMs;
      await budget.applyReportedLimits(reported({ spent: 2_000 }));
      expect(refusalIn(await budget.tryAcquire('interactive')).reason).to.equal('month');
    });

    it('does not take the count of the last month for one of this', async () => {
      fresh(end - 1_000);
      const budget = budgetOf(1_000);
      await budget.status();
      time = end + 2 * minuteMs;
      await budget.applyReportedLimits(reported({ spent: 990 }));
      expect((await monthOf(budget)).spent).to.equal(0);
    });
  });

  describe('after a 429', () => {
    it('halves the calls of a minute, once for all that were under way, and grows back', async () => {
      const budget = budgetOf(undefined, { limit: 40 });
      const limit = async (): Promise<number> => (await budget.status()).limit;
      const running = [
        grantIn(await budget.tryAcquire('interactive')),
        grantIn(await budget.tryAcquire('interactive')),
      ];
      time += 500;
      for (const grant of running) await grant.settle('rate_limited');
      expect(await budget.status()).to.include({ limit: 20, fullLimit: 40 });
      time += 10;
      const later = grantIn(await budget.tryAcquire('interactive'));
      time += 100;
      await later.settle('rate_limited');
      expect(await limit()).to.equal(10);
      time += minuteMs;
      expect(await limit()).to.equal(12);
      time += 15 * minuteMs;
      expect(await limit()).to.equal(40);
    });

    it('never halves below a tenth, and grants no more than it says', async () => {
      const budget = budgetOf(undefined, { limit: 40 });
      for (let i = 0; i < 6; i += 1) {
        const result = await budget.tryAcquire('interactive');
        time += 100;
        if ('granted' in result) await result.granted.settle('rate_limited');
        time += 25_000;
      }
      const { limit } = await budget.status();
      expect(limit).to.be.within(4, 6);
      time += 50_000;
      expect(await drain(budget, 'interactive', minuteMs)).to.be.at.most(limit + 4);
    });
  });

  it('plays the last days of a month without a refusal, a dry hour or a credit too many', async () => {
    const patienceMs = 30_000;
    fresh();
    const played = await simulateMonth({
      redis,
      prefix: `${prefix}-simulated`,
      from: end - 3 * dayMs,
      until: end + dayMs,
      creditsPerMonth: 10_000,
      callsPerMinute: 30,
      spentBefore: 9_000,
      interactivePerDay: 100,
      patienceMs,
      wipesAt: [end - 1.5 * dayMs],
      skewMs: -8_000,
    });
    expect(played.counted.get('2027-04')).to.be.within(950, 1_000);
    expect(played.busiestMinute).to.be.at.most(30);
    expect(played.dryAt.filter((at) => at < end - hourMs / 2)).to.deep.equal([]);
    for (const day of played.days) expect(day.refusals).to.equal(0);
    const interactive = played.days.reduce((sum, day) => sum + day.calls.interactive, 0);
    expect(interactive).to.be.above(250);
    for (const day of played.days) expect(Math.min(...Object.values(day.calls))).to.be.above(5);
  });
});
