import { expect } from 'chai';
import type { Knex } from 'knex';
import knexFactory from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { createJobQueries, type JobQueries, type NewJob } from '../../src/features/jobs/queries/jobs.ts';
import { createRunQueries, type RunQueries } from '../../src/features/jobs/queries/runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

describe('job queries that come together', () => {
  let database: TestDatabase;
  let knex: Knex;
  let jobs: JobQueries;
  let runs: RunQueries;
  let statements: string[];
  const userId = uuidv7();

  before(async () => {
    database = await createTestDatabase();
    knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 4 } });
    await knex('users').insert({ id: userId, username: 'joe', email: 'joe@example.com', password_hash: 'x' });
    knex.on('query', ({ sql }: { sql: string }) => statements.push(sql));
    jobs = createJobQueries(knex);
    runs = createRunQueries(knex);
  });
  beforeEach(() => (statements = []));
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  function newJob(workKey: string, more: Partial<NewJob> = {}): NewJob {
    const submission = { currency: 'eur', assets: ['bitcoin', 'it’s "quoted"'] };
    return { id: uuidv7(), userId, name: 'bulk.fetch', workKey, submission, total: 2, ...more };
  }

  it('keep what the symbols of each job were taken for apart from the work that they share', async () => {
    const resolvedJson = '[{"symbol":"btc","id":"bitcoin"}]';
    const [named, plain] = [newJob('shared', { resolvedJson }), newJob('shared')];
    const stored = await Promise.all([named, plain].map(jobs.insert));
    expect(stored.map((job) => job?.resolvedJson)).to.deep.equal([resolvedJson, null]);
    await runs.complete({ workKey: 'shared', startedAt: new Date() }, uuidv7(), '{"portfolio":[]}');
    const found = await Promise.all([named, plain].map(({ id }) => jobs.find(id)));
    expect(found.map((job) => [job?.resolvedJson, job?.resultJson])).to.deep.equal([
      [resolvedJson, '{"portfolio":[]}'],
      [null, '{"portfolio":[]}'],
    ]);
    const [ended] = await jobs.findEnded([named.id]);
    expect(ended?.resolvedJson).to.equal(resolvedJson);
  });

  it('are stored by one statement, and read back by one, each as it was', async () => {
    const rows = [newJob('a'), newJob('b', { total: 7 }), newJob('c')];
    const stored = await Promise.all(rows.map(jobs.insert));
    expect(statements).to.have.length(1);
    const found = await Promise.all([...rows.map(({ id }) => jobs.find(id)), jobs.find(uuidv7())]);
    expect(statements).to.have.length(2);
    expect(found).to.deep.equal([...stored, undefined]);
    expect(found[1]).to.include({ workKey: 'b', total: 7, currency: 'eur', state: 'queued', version: 1 });
  });

  it('leave the good ones stored when one is refused', async () => {
    const bad = newJob('bad', { userId: uuidv7() });
    const good = [newJob('good-1'), newJob('good-2')];
    const ends = await Promise.allSettled([good[0]!, bad, good[1]!].map(jobs.insert));
    expect(ends.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
    expect((await jobs.find(good[1]!.id))?.workKey).to.equal('good-2');
    expect(await jobs.find(bad.id)).to.equal(undefined);
  });

  it('store one of two equal idempotency keys', async () => {
    const idempotency = { key: 'k', route: 'POST /x', bodyHash: 'h' };
    const stored = await Promise.all(
      [newJob('k1', { idempotency }), newJob('k2', { idempotency })].map(jobs.insert),
    );
    expect(stored.filter((row) => row !== undefined)).to.have.length(1);
  });

  it('tell no less progress than before, whichever attempt tells it, and no more than all', async () => {
    const job = newJob('attempts', { total: 10 });
    await jobs.insert(job);
    const startedAt = new Date();
    const reported: (number | undefined)[] = [];
    for (const done of [8, 3, 99]) {
      await runs.markProgress({ workKey: 'attempts', startedAt }, done);
      reported.push((await jobs.find(job.id))?.done);
    }
    expect(reported).to.deep.equal([8, 8, 10]);
  });

  it('tell the progress of runs that come further together by one statement, each its own', async () => {
    const rows = [newJob('slow', { total: 10 }), newJob('fast', { total: 10 }), newJob('other')];
    await Promise.all(rows.map(jobs.insert));
    statements = [];
    const startedAt = new Date();
    await Promise.all([
      runs.markProgress({ workKey: 'slow', startedAt }, 2),
      runs.markProgress({ workKey: 'fast', startedAt }, 7),
    ]);
    expect(statements).to.have.length(1);
    const found = await Promise.all(rows.map(({ id }) => jobs.find(id)));
    expect(found.map((job) => job?.done)).to.deep.equal([2, 7, 0]);
    expect(found.map((job) => job?.state)).to.deep.equal(['running', 'running', 'queued']);
  });

  it('tell progress without waiting for a row that is being changed', async () => {
    const [held, free] = [newJob('held', { total: 10 }), newJob('free', { total: 10 })];
    await Promise.all([held, free].map(jobs.insert));
    await knex.transaction(async (other) => {
      await other('jobs').where({ id: held.id }).update({ route: 'changed' });
      const startedAt = new Date();
      await Promise.all(['held', 'free'].map((workKey) => runs.markProgress({ workKey, startedAt }, 5)));
    });
    expect((await jobs.find(held.id))?.done).to.equal(0);
    expect((await jobs.find(free.id))?.done).to.equal(5);
  });

  it('end every row of their own work with their own result, and no other', async () => {
    const rows = [newJob('one'), newJob('one'), newJob('two'), newJob('three')];
    await Promise.all(rows.map(jobs.insert));
    statements = [];
    const startedAt = new Date();
    const [one, two, none] = await Promise.all([
      runs.complete({ workKey: 'one', startedAt }, uuidv7(), '{"r":"one’s ?"}'),
      runs.complete({ workKey: 'two', startedAt }, uuidv7(), '{"r":2}'),
      runs.complete({ workKey: 'nobody waits', startedAt }, uuidv7(), '{}'),
    ]);
    expect(statements).to.have.length(1);
    expect(one).to.have.members([rows[0]!.id, rows[1]!.id]);
    expect(two).to.deep.equal([rows[2]!.id]);
    expect(none).to.deep.equal([]);
    const found = await Promise.all(rows.map(({ id }) => jobs.find(id)));
    expect(found.map((job) => job?.resultJson)).to.deep.equal([
      '{"r":"one’s ?"}',
      '{"r":"one’s ?"}',
      '{"r":2}',
      null,
    ]);
    expect(found.map((job) => job?.state)).to.deep.equal(['completed', 'completed', 'completed', 'queued']);
    expect(found[0]?.done).to.equal(2);
    expect(await knex('job_results').where({ body: '{}' })).to.deep.equal([]);
  });
});
