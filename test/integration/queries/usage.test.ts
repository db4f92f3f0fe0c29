import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import type { Knex } from 'knex';
import { openDatabase } from '../../../db/connection.ts';
import { createJobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import { createRunQueries } from '../../../src/features/jobs/queries/runs.ts';
import {
  createUsageQueries,
  type NewUsage,
  type UsageQueries,
} from '../../../src/features/accounts/queries/usage.ts';
import { createBufferedUsageCounter } from '../../../src/features/accounts/usage-counter.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { services } from '../../support/services.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('usage in Postgres', () => {
  let database: TestDatabase;
  let knex: Knex;
  let usage: UsageQueries;
  const [joe, ann] = [uuidv7(), uuidv7()];
  const key = uuidv7();
  const march = { from: '2026-03-01', to: '2026-03-31' };

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 4 });
    usage = createUsageQueries(knex);
    const password_hash = 'x';
    await knex('users').insert({ id: joe, username: 'joe', email: 'joe@example.com', password_hash });
    await knex('users').insert({ id: ann, username: 'ann', email: 'ann@example.com', password_hash });
    const secret = { hash: Buffer.from('x'), scopes: ['prices:read'] };
    await knex('api_keys').insert({ id: key, user_id: joe, name: 'bot', prefix: 'pp_abcd', ...secret });
  });
  beforeEach(() => knex('usage_daily').delete());
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  const counted = (different: Partial<NewUsage> = {}): NewUsage => {
    const counts = { requests: 1, jobs: 0, upstreamCalls: 0 };
    return { day: '2026-03-02', userId: joe, keyId: undefined, ...counts, ...different };
  };

  it('adds to what is there, by day and key', async () => {
    await usage.add([counted({ requests: 5 }), counted({ keyId: key, jobs: 1, upstreamCalls: 1 / 3 })]);
    await usage.add([counted({ keyId: key, upstreamCalls: 1 / 3 }), counted({ day: '2026-03-01' })]);
    await usage.add([counted({ userId: ann, requests: 100 })]);
    const { days, totals } = await usage.ofUser({ userId: joe, ...march });
    expect(days).to.deep.equal([
      { day: '2026-03-02', keyId: null, requests: 5, jobs: 0, upstreamCalls: 0 },
      { day: '2026-03-02', keyId: key, requests: 2, jobs: 1, upstreamCalls: 0.666666 },
      { day: '2026-03-01', keyId: null, requests: 1, jobs: 0, upstreamCalls: 0 },
    ]);
    expect(totals).to.deep.equal({ requests: 8, jobs: 1, upstreamCalls: 0.666666 });
  });

  it('holds to the days asked for', async () => {
    await usage.add(['2026-02-28', '2026-03-01', '2026-03-31', '2026-04-01'].map((day) => counted({ day })));
    const { days } = await usage.ofUser({ userId: joe, ...march });
    expect(days.map(({ day }) => day)).to.deep.equal(['2026-03-31', '2026-03-01']);
    expect((await usage.all({ ...march, offset: 0, limit: 10 })).usage[0]?.requests).to.equal(2);
    const nothing = await usage.ofUser({ userId: ann, ...march });
    expect(nothing).to.deep.equal({ days: [], totals: { requests: 0, jobs: 0, upstreamCalls: 0 } });
  });

  it('shows all users and keys, the most upstream calls first, in pages', async () => {
    const ghost = uuidv7();
    await usage.add([
      counted({ upstreamCalls: 0.5 }),
      counted({ day: '2026-03-03', upstreamCalls: 0.75 }),
      counted({ keyId: key, upstreamCalls: 7 }),
      counted({ userId: ghost, upstreamCalls: 3 }),
      counted({ userId: ann, requests: 1_000 }),
    ]);
    const first = await usage.all({ ...march, offset: 0, limit: 3 });
    const rest = await usage.all({ ...march, offset: 3, limit: 3 });
    expect([first.total, rest.total]).to.deep.equal([4, 4]);
    const none = { keyId: null, keyPrefix: null, jobs: 0 };
    expect([...first.usage, ...rest.usage]).to.deep.equal([
      {
        userId: joe,
        username: 'joe',
        keyId: key,
        keyPrefix: 'pp_abcd',
        requests: 1,
        jobs: 0,
        upstreamCalls: 7,
      },
      { ...none, userId: ghost, username: null, requests: 1, upstreamCalls: 3 },
      { ...none, userId: joe, username: 'joe', requests: 2, upstreamCalls: 1.25 },
      { ...none, userId: ann, username: 'ann', requests: 1_000, upstreamCalls: 0 },
    ]);
  });

  it('loses nothing when many processes add at once', async () => {
    const users = Array.from({ length: 50 }, () => uuidv7());
    const rows = users.map((userId) => counted({ userId, requests: 1, upstreamCalls: 0.1 }));
    await Promise.all(Array.from({ length: 8 }, (_, n) => usage.add(n % 2 === 0 ? rows : rows.toReversed())));
    const { usage: sums, total } = await usage.all({ ...march, offset: 0, limit: 100 });
    expect(total).to.equal(50);
    expect(new Set(sums.map(({ requests, upstreamCalls }) => `${requests} ${upstreamCalls}`))).to.deep.equal(
      new Set(['8 0.8']),
    );
  });

  it('survives an outage of Postgres in the memory of who counts', async () => {
    const name = new URL(database.url).pathname.slice(1);
    const outside = openDatabase({
      database: { connectionString: (await services()).databaseUrl, ssl: false },
      poolSize: 1,
    });
    const counter = createBufferedUsageCounter({
      queries: usage,
      log: silentLogger(),
      flushEveryMs: 3_600_000,
    });
    const requests = async (): Promise<number> => {
      const today = new Date().toISOString().slice(0, 10);
      const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
      return (await usage.ofUser({ userId: joe, from: yesterday, to: today })).totals.requests;
    };
    try {
      counter.request({ userId: joe });
      await counter.flush();
      await outside.raw(`alter database ${name} allow_connections false`);
      await waitFor(
        async () => {
          await outside.raw('select pg_terminate_backend(pid) from pg_stat_activity where datname = ?', [
            name,
          ]);
          const { rows } = await outside.raw<{ rows: unknown[] }>(
            'select 1 from pg_stat_activity where datname = ?',
            [name],
          );
          return rows.length === 0;
        },
        { what: 'all connections to be cut' },
      );
      counter.request({ userId: joe });
      counter.request({ userId: joe });
      await counter.flush();
      expect(await requests().catch((error: unknown) => error)).to.be.an('error');
      await outside.raw(`alter database ${name} allow_connections true`);
      expect(await waitFor(requests, { what: 'Postgres to answer again' })).to.equal(1);
      await counter.flush();
      expect(await requests()).to.equal(3);
    } finally {
      await counter.close();
      await outside.destroy();
    }
  });

  describe('of jobs', () => {
    const work = { name: 'bulk.fetch', submission: { currency: 'usd' }, total: 1 };

    it('tells who asked for open work first', async () => {
      const [jobs, runs] = [createJobQueries(knex), createRunQueries(knex)];
      await jobs.insert({ ...work, id: uuidv7(), userId: joe, keyId: key, workKey: 'shared' });
      await knex.raw("update jobs set created_at = now() - interval '1 minute'");
      await jobs.insert({ ...work, id: uuidv7(), userId: ann, workKey: 'shared' });
      await jobs.insert({ ...work, id: uuidv7(), userId: ann, workKey: 'own' });
      const { works } = await runs.openWork({ seconds: -10, limit: 10 });
      expect(Object.fromEntries(works.map(({ workKey, requester }) => [workKey, requester]))).to.deep.equal({
        shared: { userId: joe, keyId: key },
        own: { userId: ann, keyId: undefined },
      });
    });

    it('counts the open ones of a user', async () => {
      const jobs = createJobQueries(knex);
      const ids = [uuidv7(), uuidv7(), uuidv7()];
      const before = await jobs.countOpenOfUser(joe);
      await Promise.all(ids.map((id) => jobs.insert({ ...work, id, userId: joe, workKey: id })));
      await jobs.cancel(ids[0]!);
      const counts = await Promise.all([joe, uuidv7(), joe].map((userId) => jobs.countOpenOfUser(userId)));
      expect(counts).to.deep.equal([before + 2, 0, before + 2]);
    });
  });
});
