import { expect } from 'chai';
import knexFactory, { type Knex } from 'knex';
import { createRunQueries, type RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('open work', () => {
  let database: TestDatabase;
  let knex: Knex;
  let runs: RunQueries;

  before(async () => {
    database = await createTestDatabase();
    knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } });
    runs = createRunQueries(knex);
    await knex.raw(
      `insert into users (id, username, email, password_hash)
       values ('00000000-0000-7000-8000-000000000001', 'a', 'a@example.com', 'x')`,
    );
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });
  beforeEach(() => knex.raw('delete from jobs'));

  /** Rows of one second after the other, the oldest first; the newest is `ageSeconds` old. */
  async function insert(workKeys: readonly string[], ageSeconds: number, state = 'queued'): Promise<void> {
    for (const [index, workKey] of workKeys.entries()) {
      await knex.raw(
        `insert into jobs (id, user_id, name, work_key, data, total, state, created_at)
         values (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'bulk.fetch', ?, '{}', 1, ?,
           now() - make_interval(secs => ?))`,
        [workKey, state, ageSeconds + workKeys.length - 1 - index],
      );
    }
  }

  async function pages(limit: number): Promise<string[][]> {
    const all: string[][] = [];
    let after: string | undefined;
    do {
      const found = await runs.openWork({ seconds: 3, limit, after });
      all.push(found.works.map(({ workKey }) => workKey));
      after = found.next;
    } while (after !== undefined);
    return all;
  }

  it('comes in pages, the oldest first, until nothing is left', async () => {
    await insert(['e', 'd', 'c', 'b', 'a'], 10);
    expect(await pages(2)).to.deep.equal([['e', 'd'], ['c', 'b'], ['a'], []]);
  });

  it('names work once a page, and goes on behind all of its rows', async () => {
    await insert(['a', 'a', 'a', 'b'], 10);
    expect(await pages(3)).to.deep.equal([['a'], ['b'], []]);
  });

  it('leaves out what has ended and what is just being added', async () => {
    await insert(['ended'], 10, 'completed');
    await insert(['running'], 10, 'running');
    await insert(['young'], 0);
    expect(await pages(10)).to.deep.equal([['running'], []]);
  });

  it('is that of who asked for it first, with all that its job needs', async () => {
    const [first, second] = ['00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002'];
    await knex.raw(
      `insert into users (id, username, email, password_hash) values (?, 'b', 'b@example.com', 'x')
       on conflict do nothing`,
      [second],
    );
    const key = '00000000-0000-7000-8000-00000000000a';
    await knex.raw(
      `insert into api_keys (id, user_id, name, prefix, scopes, hash) values (?, ?, 'k', 'pp', '{}', '\\x00')`,
      [key, second],
    );
    const add = (userId: string, keyId: string | null, ageSeconds: number) =>
      knex.raw(
        `insert into jobs (id, user_id, api_key_id, name, work_key, data, total, state, created_at)
         values (gen_random_uuid(), ?, ?, 'bulk.fetch', 'w', '{"currency": "eur"}', 7, 'queued',
           now() - make_interval(secs => ?))`,
        [userId, keyId, ageSeconds] as never,
      );
    await add(first, null, 20);
    await add(second, key, 30);
    const { works } = await runs.openWork({ seconds: 3, limit: 10 });
    expect(works).to.deep.equal([
      {
        name: 'bulk.fetch',
        workKey: 'w',
        requester: { userId: second, keyId: key },
        submission: { currency: 'eur' },
        total: 7,
      },
    ]);
  });
});
