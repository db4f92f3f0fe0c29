/**
 * What the settings and the docs promise to delete, a worker deletes: by the schedule that it keeps in Redis, with nothing done by
 * the test but rows that are a little older and a little younger than each retention.
 */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../db/connection.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

const [minute, hour, day] = [60, 3_600, 86_400];

/** A moment so many seconds ago. */
const ago = (seconds: number): Date => new Date(Date.now() - seconds * 1000);

describe('retentions, by the schedule of a worker', () => {
  let stack: Stack;
  let knex: Knex;

  before(async () => {
    stack = await startStack({ apis: 0, workers: 0 });
    knex = openDatabase({ database: { connectionString: stack.databaseUrl, ssl: false }, poolSize: 2 });
  });
  after(async () => {
    await knex.destroy();
    await stack.stop();
  });

  /** What each retention is to leave and to take, as `<table> <what>`, by the way to look for it. */
  const kept = new Map<string, () => Promise<unknown>>();
  const past = new Map<string, () => Promise<unknown>>();

  async function plant(
    list: typeof kept,
    { table, what, row, key = 'id' }: { table: string; what: string; row: object; key?: string },
  ): Promise<void> {
    await knex(table).insert(row);
    const value = (row as Record<string, unknown>)[key];
    list.set(`${table} ${what}`, () =>
      knex(table)
        .where(key, value as string)
        .first(),
    );
  }

  async function newUser(deletedAt: Date | null = null): Promise<string> {
    const id = uuidv7();
    await knex('users').insert({ id, username: id, email: id, password_hash: 'x', deleted_at: deletedAt });
    return id;
  }

  async function newPortfolio(userId: string): Promise<string> {
    const id = uuidv7();
    const row = { id, user_id: userId, name: 'mine', base_currency: 'usd', method: 'fifo', time_zone: 'UTC' };
    await knex('portfolios').insert(row);
    return id;
  }

  const lists = [
    { list: past, by: 1 },
    { list: kept, by: -1 },
  ];

  it('takes what is past its time, and nothing else', async function () {
    const userId = await newUser();
    const portfolioId = await newPortfolio(userId);
    for (const { list, by } of lists) {
      const what = by > 0 ? 'past its time' : 'within its time';

      // JOB_RETENTION, 24 hours.
      const finished = ago(day + by * hour);
      const resultId = uuidv7();
      await plant(list, {
        table: 'job_results',
        what,
        row: { id: resultId, body: '{}', created_at: finished },
      });
      const job = {
        id: uuidv7(),
        user_id: userId,
        name: 'crypto.bulk',
        work_key: resultId,
        data: '{}',
        total: 1,
      };
      await plant(list, {
        table: 'jobs',
        what,
        row: { ...job, state: 'completed', result_id: resultId, created_at: finished, finished_at: finished },
      });

      // The ledger of calls, 62 days.
      const granted = ago(62 * day + by * hour);
      await plant(list, {
        table: 'upstream_calls',
        what,
        row: { id: uuidv7(), budget_key: 'test', granted_at: granted, counted_until: granted },
      });

      // Credentials: 7 days behind their end; REFRESH_EXPIRES_IN is 30 days. Audit events: a year.
      const ended = ago(7 * day + by * hour);
      await plant(list, {
        table: 'sessions',
        what,
        row: { id: uuidv7(), user_id: userId, expires_at: ended },
      });
      const session = { id: uuidv7(), user_id: userId, expires_at: ago(-day) };
      await knex('sessions').insert(session);
      await plant(list, {
        table: 'refresh_tokens',
        what,
        key: 'hash',
        row: { hash: randomBytes(32), session_id: session.id, created_at: ago(37 * day + by * hour) },
      });
      await plant(list, {
        table: 'password_resets',
        what,
        key: 'hash',
        row: { hash: randomBytes(32), user_id: userId, expires_at: ended },
      });
      await plant(list, {
        table: 'revocations',
        what,
        key: 'subject',
        row: { kind: 'key', subject: uuidv7(), expires_at: ago(by * hour) },
      });
      const happened = ago(365 * day + by * 2 * day);
      const eventId = uuidv7({ msecs: happened.getTime() });
      await plant(list, {
        table: 'audit_events',
        what,
        row: { id: eventId, at: happened, type: 'login' },
      });

      // WEBHOOK_RETENTION, 30 days.
      await plant(list, {
        table: 'webhook_deliveries',
        what,
        row: {
          id: uuidv7(),
          user_id: userId,
          url: 'https://example.com/',
          type: 'job.completed',
          body: '{}',
          state: 'dead',
          ended_at: ago(30 * day + by * hour),
        },
      });

      // Imports: an upload that broke off for an hour, the others for JOB_RETENTION.
      const place = { portfolio_id: portfolioId, user_id: userId };
      const upload = { ...place, id: uuidv7(), created_at: ago(hour + by * 10 * minute) };
      await plant(list, { table: 'imports', what: `upload ${what}`, row: upload });
      const stuck = { ...place, id: uuidv7(), state: 'uploaded', created_at: finished };
      await plant(list, { table: 'imports', what: `unfinished ${what}`, row: stuck });
      await plant(list, {
        table: 'import_chunks',
        what,
        key: 'import_id',
        row: { import_id: stuck.id, number: 0, bytes: Buffer.from('a,b') },
      });
      const settled = {
        ...place,
        state: 'settled',
        created_at: finished,
        settled_at: finished,
        added: 1,
        result: '{}',
      };
      await plant(list, {
        table: 'imports',
        what: `dry run ${what}`,
        row: { ...settled, id: uuidv7(), is_dry_run: true },
      });
      const written = { ...settled, id: uuidv7() };
      await knex('imports').insert(written);
      kept.set(`imports settled ${what}`, () => knex('imports').where('id', written.id).first());
      list.set(`imports result ${what}`, () =>
        knex('imports').where('id', written.id).whereNotNull('result').first(),
      );

      // DELETED_USERNAME_RETENTION, 30 days; deleted portfolios likewise.
      const left = ago(30 * day + by * hour);
      const gone = await newUser(left);
      list.set(`users name ${what}`, () => knex('users').where({ id: gone, username: gone }).first());
      const deleted = await newPortfolio(userId);
      await knex('portfolios').where({ id: deleted }).update({ deleted_at: left });
      list.set(`portfolios ${what}`, () => knex('portfolios').where({ id: deleted }).first());

      // Usage, 731 days; keys that were revoked or have expired, a year.
      const usageUser = uuidv7();
      const dayOfUsage = ago((731 + 3 * by) * day)
        .toISOString()
        .slice(0, 10);
      await plant(list, {
        table: 'usage_daily',
        what,
        key: 'user_id',
        row: { day: dayOfUsage, user_id: usageUser, key_id: uuidv7() },
      });
      for (const end of ['revoked_at', 'expires_at']) {
        const key = { id: uuidv7(), user_id: userId, name: 'key', prefix: 'pp', scopes: '{}' };
        const row = { ...key, hash: randomBytes(32), [end]: ago(365 * day + by * hour) };
        await plant(list, { table: 'api_keys', what: `${end} ${what}`, row });
      }

      // Records of books: changes of transactions, imports, and snapshots of days, ten years.
      const tenYears = ago((3_653 + 3 * by) * day);
      await plant(list, {
        table: 'transaction_changes',
        what,
        row: {
          id: uuidv7({ msecs: tenYears.getTime() }),
          portfolio_id: portfolioId,
          at: tenYears,
          action: 'created',
        },
      });
      await plant(list, {
        table: 'imports',
        what: `of years ago ${what}`,
        row: { ...settled, id: uuidv7(), created_at: tenYears },
      });

      // Snapshots of changes, 30 days.
      const snapshot = {
        portfolio_id: portfolioId,
        day: '2020-01-01',
        currency: 'usd',
        cost_basis: '1',
        realised: '0',
        complete: true,
        missing: [],
        books_version: 1,
      };
      await plant(list, {
        table: 'portfolio_snapshots',
        what,
        key: 'at',
        row: { ...snapshot, kind: 'change', at: left },
      });
      await plant(list, {
        table: 'portfolio_snapshots',
        what: `of a day ${what}`,
        key: 'at',
        row: {
          ...snapshot,
          kind: 'daily',
          day: by > 0 ? '2020-01-01' : '2020-01-02',
          at: tenYears,
        },
      });

      // HISTORY_RETENTION_5M and HISTORY_RETENTION_1H, 7 and 100 days; days are kept for ever.
      for (const [resolution, seconds] of [
        ['5m', 7 * day],
        ['1h', 100 * day],
        ['1d', 4_000 * day],
      ] as const) {
        const at = ago(seconds + by * 10 * day * (resolution === '5m' ? 0.5 : 1));
        const point = { open: 1, high: 1, low: 1, close: 1, observations: 1, source: 'test', live: false };
        await plant(resolution === '1d' ? kept : list, {
          table: 'candles',
          what: `of ${resolution} ${what}`,
          key: 'open_time',
          row: {
            ...point,
            asset_id: 'bitcoin',
            currency: 'usd',
            resolution,
            open_time: at,
            first_at: at,
            last_at: at,
          },
        });
      }
    }
    // A result stays as long as one of its jobs, however old it is itself.
    const resultId = uuidv7();
    await plant(kept, {
      table: 'job_results',
      what: 'of a job that is kept',
      row: { id: resultId, body: '{}', created_at: ago(3 * day) },
    });
    const recent = { state: 'completed', created_at: ago(hour), finished_at: ago(hour) };
    await knex('jobs').insert({
      ...recent,
      id: uuidv7(),
      user_id: userId,
      name: 'crypto.bulk',
      work_key: resultId,
      data: '{}',
      total: 1,
      result_id: resultId,
    });
    // More than a batch of each.
    await knex.raw(
      `insert into job_results (id, body, created_at)
        select gen_random_uuid(), '{}', now() - interval '3 days' from generate_series(1, 6000)`,
    );
    await knex.raw(
      `insert into jobs (id, user_id, name, work_key, data, total, state, finished_at)
        select gen_random_uuid(), ?, 'crypto.bulk', 'many', '{}', 1, 'completed', now() - interval '3 days'
        from generate_series(1, 12000)`,
      [userId],
    );
    past.set('jobs of many', () => knex('jobs').where({ work_key: 'many' }).first());
    past.set('job_results of many', () =>
      knex('job_results')
        .where('created_at', '<', ago(2 * day))
        .whereNot({ id: resultId })
        .first(),
    );
    for (const [name, find] of [...past, ...kept])
      expect(await find(), `${name}, before the worker`).to.not.equal(undefined);

    await stack.startWorker({ WORKER_QUEUES: 'maintenance' });

    const left = async (list: typeof kept): Promise<string[]> => {
      const names: string[] = [];
      for (const [name, find] of list) if ((await find()) !== undefined) names.push(name);
      return names;
    };
    let still: readonly string[] = [];
    await waitFor(async () => (still = await left(past)).length === 0, {
      what: 'everything that is past its time to be deleted',
      timeoutMs: 90_000,
    }).catch((error: unknown) => {
      expect(still, String(error)).to.deep.equal([]);
    });
    expect(await left(kept)).to.deep.equal([...kept.keys()]);
  }).timeout(180_000);
});
