import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { Knex } from 'knex';
import { v7 as uuid } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import { migrate } from '../../../db/migrate.ts';
import { createUpstreamCallLog } from '../../../src/features/upstream/queries/upstream-calls.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { budgetKeys, createRedisBudget } from '../../../src/features/upstream/budget/redis-budget.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';

const connect = (connectionString: string): Knex =>
  openDatabase({ database: { connectionString, ssl: false }, poolSize: 4 });

async function prepare(url: string): Promise<void> {
  const knex = connect(url);
  await migrate(knex);
  await knex.destroy();
}

describe('upstream ledger', function () {
  this.timeout(30_000);
  const prefix = uniquePrefix();
  let database: TestDatabase;
  let knex: Knex;
  let redis: Redis;
  let callLog: ReturnType<typeof createUpstreamCallLog>;
  before(async () => {
    database = await createTestDatabase(prepare);
    knex = connect(database.url);
    redis = new Redis((await services()).redisUrl, { maxRetriesPerRequest: 1 });
    callLog = createUpstreamCallLog(knex);
  });
  beforeEach(() => knex('upstream_calls').delete());
  after(async () => {
    await flushPrefix(redis, prefix);
    redis.disconnect();
    await knex.destroy();
    await database.drop();
  });
  const recent = (budgetKey = 'a'): ReturnType<typeof callLog.recent> =>
    callLog.recent({
      budgetKey,
      windowMs: 60_000,
      creditsSince: new Date(Date.now() - 3_600_000),
      free: ['rejected'],
    });

  it('tells how far ahead the latest moment of a running call is', async () => {
    const id = uuid();
    await callLog.record({ id, budgetKey: 'a', lastsMs: 15_000, credits: 1 });
    const { calls } = await recent();
    expect(calls.map((call) => call.id)).to.deep.equal([id]);
    expect(calls[0]?.countedInMs).to.be.within(5_000, 15_000);
    expect((await recent('b')).calls).to.deep.equal([]);
  });

  it('moves that moment to the end of an answered call, and leaves it after an unanswered one', async () => {
    const [answered, unanswered] = [uuid(), uuid()];
    for (const id of [answered, unanswered])
      await callLog.record({ id, budgetKey: 'a', lastsMs: 15_000, credits: 1 });
    await callLog.settle({ id: answered, outcome: 'ok', answered: true });
    await callLog.settle({ id: unanswered, outcome: 'unanswered', answered: false });
    const ahead = new Map((await recent()).calls.map((call) => [call.id, call.countedInMs]));
    expect(ahead.get(answered)).to.be.at.most(0);
    expect(ahead.get(unanswered)).to.be.above(5_000);
  });

  it('forgets calls that were not made, and leaves out those of before the window', async () => {
    const [released, old] = [uuid(), uuid()];
    for (const id of [released, old])
      await callLog.record({ id, budgetKey: 'a', lastsMs: 15_000, credits: 1 });
    await callLog.remove(released);
    const longAgo = knex.raw("clock_timestamp() - interval '61 seconds'");
    await knex('upstream_calls').where({ id: old }).update({ counted_until: longAgo });
    expect((await recent()).calls).to.deep.equal([]);
  });

  it('keeps the longest block', async () => {
    await callLog.block({ budgetKey: 'a', ms: 60_000 });
    await callLog.block({ budgetKey: 'a', ms: 1_000 });
    expect((await recent()).blockedForMs).to.be.within(30_000, 60_000);
    expect((await recent('b')).blockedForMs).to.equal(0);
  });

  it('sums the credits of a month without the calls that were refused, and purges', async () => {
    const since = new Date(Date.now() - 60_000);
    for (const outcome of ['ok', 'rate_limited', 'rejected', undefined]) {
      const id = uuid();
      await callLog.record({ id, budgetKey: 'a', lastsMs: 15_000, credits: 2 });
      if (outcome !== undefined) await callLog.settle({ id, outcome, answered: true });
    }
    expect(await callLog.creditsSince('a', since)).to.equal(4);
    expect(await callLog.creditsSince('b', since)).to.equal(0);
    expect(await callLog.purge(since)).to.equal(0);
    expect(await callLog.purge(new Date(Date.now() + 60_000))).to.equal(4);
  });

  it('tells calls and the sum of the month as of one instant, the free ones at nothing', async () => {
    const month = new Date(Date.now() - 3_600_000);
    const record = async (credits: number, outcome: string): Promise<string> => {
      const id = uuid();
      await callLog.record({ id, budgetKey: 'a', lastsMs: 15_000, credits });
      await callLog.settle({ id, outcome, answered: true });
      return id;
    };
    const [ok, rejected, earlier, before] = [
      await record(2, 'ok'),
      await record(1, 'rejected'),
      await record(4, 'ok'),
      await record(8, 'ok'),
    ];
    const ago = (ms: number): unknown => knex.raw(`clock_timestamp() - interval '${ms} milliseconds'`);
    const at = (id: string, ms: number): Promise<number> =>
      knex('upstream_calls')
        .where({ id })
        .update({ granted_at: ago(ms + 100), counted_until: ago(ms) });
    await at(earlier, 1_800_000);
    await at(before, 3_700_000);
    const found = await callLog.recent({
      budgetKey: 'a',
      windowMs: 60_000,
      creditsSince: month,
      free: ['rejected'],
    });
    expect(found.credits).to.equal(6);
    expect(new Map(found.calls.map(({ id, credits }) => [id, credits]))).to.deep.equal(
      new Map([
        [ok, 2],
        [rejected, 0],
      ]),
    );
  });

  describe('summed by hour', () => {
    const hour = 3_600_000;
    const thisHour = Math.floor(Date.now() / hour) * hour;
    const sumAll = async (): Promise<number> => {
      let hours = 0;
      while (await callLog.sumHour()) hours++;
      return hours;
    };
    beforeEach(() => knex.raw('truncate upstream_sums, upstream_sums_to'));

    /** Calls of three days, many of them near the turns of hours, and what others have spent. */
    async function plant(): Promise<void> {
      const outcomes = ['ok', 'rejected', 'rate_limited', 'others', null];
      const rows = Array.from({ length: 2_000 }, (_, n) => {
        const near = thisHour - (n % 72) * hour;
        const at = n % 3 === 0 ? near + ((n * 7_919) % 240_000) - 120_000 : near + ((n * 104_729) % hour);
        const outcome = outcomes[n % outcomes.length] ?? null;
        const counted = outcome === 'others' ? at - 120_000 : at + (n % 15_000);
        return {
          id: uuid(),
          budget_key: n % 10 === 0 ? 'b' : 'a',
          granted_at: new Date(Math.min(at, Date.now())),
          counted_until: new Date(counted),
          outcome,
          credits: 1 + (n % 7),
        };
      });
      await knex.batchInsert('upstream_calls', rows, 500);
    }

    it('tells the same of any month, before and after its hours are summed', async () => {
      await plant();
      const months = [-30, -40.5, -1, -70, -24].map((hours) => thisHour + hours * hour);
      const turns = months.flatMap((begin) => [begin, begin - 60_000, begin + 61_000]);
      const reported = async () => {
        const found: unknown[] = [];
        for (const begin of turns) {
          for (const free of [[], ['rejected', 'rate_limited']]) {
            const requested = { budgetKey: 'a', windowMs: 60_000, creditsSince: new Date(begin), free };
            const { credits, calls } = await callLog.recent(requested);
            found.push([credits, calls.map(({ id }) => id).sort()]);
          }
        }
        return found;
      };
      const before = await reported();
      expect(new Set(before.map(String)).size).to.be.greaterThan(10);
      expect(await sumAll()).to.be.within(70, 75);
      expect(await reported()).to.deep.equal(before);
      expect(await sumAll()).to.equal(0);
    });

    it('does not need the rows of hours that are summed, and reads those that are not', async () => {
      await plant();
      const spent = async () => {
        const creditsSince = new Date(thisHour - 48 * hour - 60_000);
        return (await callLog.recent({ budgetKey: 'a', windowMs: 60_000, creditsSince, free: [] })).credits;
      };
      const before = await spent();
      await sumAll();
      const from = new Date(thisHour - 47 * hour);
      await knex('upstream_calls')
        .whereBetween('granted_at', [from, new Date(thisHour - 3 * hour)])
        .delete();
      expect(await spent()).to.equal(before);
      await callLog.record({ id: uuid(), budgetKey: 'a', lastsMs: 15_000, credits: 5 });
      expect(await spent()).to.equal(before + 5);
    });

    it('goes on where it was each time, for as long as it is given', async () => {
      await plant();
      const requested = {
        budgetKey: 'a',
        windowMs: 60_000,
        creditsSince: new Date(thisHour - 48 * hour),
        free: [],
      };
      const before = await callLog.recent(requested);
      let tries = 1;
      while (!(await callLog.sumHours(0))) tries++;
      expect(tries).to.be.within(70, 76);
      expect(await callLog.sumHours(0)).to.equal(true);
      expect((await callLog.recent(requested)).credits).to.equal(before.credits);
    });

    it('is done at once where nobody has called, and where nobody has since', async () => {
      expect(await sumAll()).to.equal(0);
      const [granted, counted] = [3 * hour, 3 * hour - 1_000].map((ago) => new Date(thisHour - ago));
      const row = { id: uuid(), budget_key: 'a', outcome: 'ok', credits: 1 };
      await knex('upstream_calls').insert({ ...row, granted_at: granted, counted_until: counted });
      expect(await sumAll()).to.be.within(1, 2);
    });

    it('begins where the longest month may have begun', async () => {
      const row = { budget_key: 'a', outcome: 'ok', credits: 1 };
      const days = (ago: number) => ({
        ...row,
        id: uuid(),
        granted_at: new Date(Date.now() - ago * 24 * hour),
        counted_until: new Date(Date.now() - ago * 24 * hour + 1_000),
      });
      await knex('upstream_calls').insert([days(60), days(32), days(1)]);
      expect(await sumAll()).to.be.within(2, 6);
      const [sum] = await knex('upstream_sums').sum({ credits: 'credits' });
      expect(Number(sum?.['credits'])).to.equal(2);
    });

    it('by several processes at once, counts nothing twice', async () => {
      await plant();
      await Promise.all([sumAll(), sumAll(), sumAll()]);
      const [row] = await knex('upstream_sums').where({ budget_key: 'b' }).sum('credits');
      const { rows } = await knex.raw<{ rows: { sum: string }[] }>(
        `select sum(credits) from upstream_calls where budget_key = 'b'
          and least(granted_at, counted_until) < (select summed_to from upstream_sums_to)`,
      );
      expect(Number(row?.['sum'])).to.equal(Number(rows[0]?.sum));
    });
  });

  it('remembers what the provider told, and what others have spent', async () => {
    const reported = { callsPerMinute: 500, creditsPerMonth: 3_000_000_000 };
    expect(await callLog.reportedAgoMs('told')).to.equal(undefined);
    await callLog.storeReportedLimits({
      budgetKey: 'told',
      ...reported,
      others: { id: uuid(), credits: 40 },
    });
    const found = await recent('told');
    expect(found).to.deep.include({ reported, credits: 40, calls: [] });
    expect(await callLog.reportedAgoMs('told')).to.be.within(0, 10_000);
    const none = { callsPerMinute: undefined, creditsPerMonth: undefined };
    await callLog.storeReportedLimits({ budgetKey: 'told', ...none, others: { id: uuid(), credits: 0 } });
    expect(await recent('told')).to.deep.include({ reported: none, credits: 40 });
  });

  it('gives a wiped Redis its month back', async () => {
    const options = {
      redis,
      callLog,
      log: silentLogger(),
      prefix,
      key: 'month',
      limit: 20,
      // So many that a user's calls are granted on the first and the last day of a month, too.
      month: { credits: 5_000 },
    };
    const budget = createRedisBudget(options);
    for (const outcome of ['ok', 'rate_limited', 'unanswered'] as const) {
      const result = await budget.tryAcquire('interactive', 60_000, 3);
      if (!('granted' in result)) throw new Error(result.reason);
      await result.granted.settle(outcome);
    }
    expect((await budget.status()).month).to.include({ credits: 5_000, spent: 6 });
    const keys = budgetKeys(prefix, 'month');
    await redis.del(keys.log, keys.state);
    expect((await createRedisBudget(options).status()).month).to.include({ credits: 5_000, spent: 6 });
  });

  it('gives a wiped Redis its calls back, the settled and the running ones', async () => {
    const budget = createRedisBudget({ redis, callLog, log: silentLogger(), prefix, key: 'a', limit: 4 });
    await knex('budget_blocks').delete();
    for (let i = 0; i < 2; i += 1) {
      const result = await budget.tryAcquire('interactive');
      if (!('granted' in result)) throw new Error(result.reason);
      if (i === 0) await result.granted.settle('ok');
    }
    const keys = budgetKeys(prefix, 'a');
    await redis.del(keys.log, keys.state);
    expect(await budget.tryAcquire('interactive')).to.include({ reason: 'paced' });
    expect(await budget.status()).to.include({ ready: true, used: 2 });
  });

  it('lets nobody call while Postgres is away and Redis knows nothing', async () => {
    const away = connect('postgres://nobody@127.0.0.1:1/none');
    const options = { redis, log: silentLogger(), prefix, key: 'away', limit: 4 };
    const budget = createRedisBudget({ ...options, callLog: createUpstreamCallLog(away) });
    expect(await budget.tryAcquire('interactive')).to.include({ reason: 'unreachable' });
    await away.destroy();
    const back = createRedisBudget({ ...options, callLog });
    expect(await back.tryAcquire('interactive')).to.have.property('granted');
  });
});
