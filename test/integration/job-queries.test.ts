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

  describe('of one user', () => {
    let mine: string;
    let theirs: string;
    beforeEach(async () => {
      [mine, theirs] = [uuidv7(), uuidv7()];
      for (const id of [mine, theirs])
        await knex('users').insert({ id, username: id, email: `${id}@example.com`, password_hash: 'x' });
    });
    const setState = (id: string, state: string): Promise<number> =>
      knex('jobs').where({ id }).update({ state });

    it('come page by page, the newest first, by state and by name', async () => {
      const rows = [
        newJob('1', { userId: mine }),
        newJob('2', { userId: mine, name: 'books.rebuild' }),
        newJob('3', { userId: mine }),
        newJob('4', { userId: theirs }),
      ];
      for (const row of rows) await jobs.insert(row);
      await setState(rows[0]!.id, 'completed');
      const list = async (page: Partial<Parameters<JobQueries['list']>[0]>) => {
        const found = await jobs.list({ userId: mine, offset: 0, limit: 10, ...page });
        return [found.total, ...found.jobs.map(({ workKey }) => workKey)];
      };
      expect(await list({})).to.deep.equal([3, '3', '2', '1']);
      expect(await list({ limit: 2 })).to.deep.equal([3, '3', '2']);
      expect(await list({ offset: 2, limit: 2 })).to.deep.equal([3, '1']);
      expect(await list({ state: 'queued' })).to.deep.equal([2, '3', '2']);
      expect(await list({ names: ['books.rebuild'] })).to.deep.equal([1, '2']);
      expect(await list({ names: ['bulk.fetch'], state: 'completed' })).to.deep.equal([1, '1']);
    });

    it('are counted while they are unfinished, all of them and those of some names', async () => {
      const rows = [
        newJob('c1', { userId: mine }),
        newJob('c2', { userId: mine, name: 'books.rebuild' }),
        newJob('c3', { userId: mine, name: 'books.rebuild' }),
        newJob('c2', { userId: theirs }),
      ];
      const before = await jobs.countBacklog();
      for (const row of rows) await jobs.insert(row);
      await setState(rows[0]!.id, 'running');
      await setState(rows[2]!.id, 'failed');
      const nobody = uuidv7();
      const open = await Promise.all([mine, theirs, nobody].map(jobs.countOpenOfUser));
      expect(open).to.deep.equal([2, 1, 0]);
      expect(await jobs.countOpenOfNames(mine, ['books.rebuild'])).to.equal(1);
      expect(await jobs.countOpenOfNames(mine, ['bulk.fetch', 'books.rebuild'])).to.equal(2);
      expect([await jobs.countOpen('c2'), await jobs.countOpen('c3')]).to.deep.equal([2, 0]);
      expect(await jobs.countBacklog()).to.equal(before + 3);
      expect((await jobs.findEnded(rows.map(({ id }) => id))).map(({ id }) => id)).to.deep.equal([
        rows[2]!.id,
      ]);
    });

    it('hold an idempotency key by themselves, each route its own', async () => {
      const of = (userId: string, route: string, workKey: string) =>
        jobs.insert(newJob(workKey, { userId, idempotency: { key: 'k', route, bodyHash: workKey } }));
      const stored = [await of(mine, 'A', 'k1'), await of(mine, 'B', 'k2'), await of(theirs, 'A', 'k3')];
      expect(stored.every((job) => job !== undefined)).to.equal(true);
      const held = await Promise.all([
        jobs.findByIdempotencyKey(mine, 'A', 'k'),
        jobs.findByIdempotencyKey(mine, 'B', 'k'),
        jobs.findByIdempotencyKey(theirs, 'A', 'k'),
        jobs.findByIdempotencyKey(theirs, 'B', 'k'),
      ]);
      expect(held.map((each) => each && [each.job.workKey, each.bodyHash])).to.deep.equal([
        ['k1', 'k1'],
        ['k2', 'k2'],
        ['k3', 'k3'],
        undefined,
      ]);
    });

    it('are found by their work: the oldest unfinished one, but a computed one before it', async () => {
      const rows = Array.from({ length: 2 }, () =>
        newJob('w', { userId: mine, name: 'performance.compute' }),
      );
      for (const row of rows) await jobs.insert(row);
      expect(await jobs.findByWork(mine, 'w')).to.equal(rows[0]!.id);
      await runs.complete({ workKey: 'w', startedAt: new Date() }, uuidv7(), '{}');
      const later = newJob('w', { userId: mine, name: 'performance.compute' });
      await jobs.insert(later);
      expect(await jobs.findByWork(mine, 'w'), 'the newest that is computed').to.equal(rows[1]!.id);
      await knex('jobs').where({ user_id: mine }).update({ name: 'bulk.fetch' });
      expect(await jobs.findByWork(mine, 'w'), 'quotes are of their time').to.equal(later.id);
    });

    it('keep what was asked and answered from everybody once the account is gone', async () => {
      const resolvedJson = '[{"symbol":"btc","id":"bitcoin"}]';
      const job = newJob('secret', { userId: mine, resolvedJson });
      await jobs.insert(job);
      await runs.complete({ workKey: 'secret', startedAt: new Date() }, uuidv7(), '{"secret":1}');
      expect(await jobs.find(job.id)).to.include({ resultJson: '{"secret":1}', resolvedJson });
      await knex('users').where({ id: mine }).update({ deleted_at: new Date() });
      expect(await jobs.find(job.id)).to.include({
        state: 'completed',
        resultJson: null,
        resolvedJson: null,
      });
    });

    it('remember the API key that they came with', async () => {
      const keyId = uuidv7();
      await knex('api_keys').insert({
        id: keyId,
        user_id: mine,
        name: 'key',
        prefix: 'pp',
        scopes: '{}',
        hash: Buffer.alloc(32),
      });
      const job = newJob('of a key', { userId: mine, keyId });
      await jobs.insert(job);
      expect(await knex('jobs').where({ id: job.id }).first()).to.include({ api_key_id: keyId });
    });
  });

  it('fail those alone that wait for the run, with the reason, and whether the request was at fault', async () => {
    const rows = ['ends', 'ends', 'ends', 'others'].map((workKey) => newJob(workKey));
    for (const row of rows) await jobs.insert(row);
    await jobs.cancel(rows[2]!.id);
    const startedAt = new Date('2026-01-01T00:00:00Z');
    const earlier = new Date('2025-12-31T00:00:00Z');
    await knex('jobs').where({ id: rows[1]!.id }).update({ started_at: earlier });
    const error = { code: 'no_such_coin', message: 'no such coin' };
    const ended = await runs.fail({ workKey: 'ends', startedAt }, { ...error, status: 404 });
    expect(ended).to.have.members([rows[0]!.id, rows[1]!.id]);
    const found = await Promise.all(rows.map(({ id }) => jobs.find(id)));
    expect(found.map((job) => job?.state)).to.deep.equal(['failed', 'failed', 'cancelled', 'queued']);
    expect(found[0]).to.deep.include({ error, errorStatus: 404, startedAt, version: 2 });
    expect(found[1]).to.deep.include({ startedAt: earlier });
    expect(found[0]?.finishedAt).to.be.instanceOf(Date);
    await runs.fail({ workKey: 'others', startedAt }, { code: 'job_failed', message: 'x' });
    expect(await jobs.find(rows[3]!.id)).to.include({ errorStatus: null });
  });

  it('end a run that told no progress as one that has started, and as a newer version', async () => {
    const job = newJob('silent');
    await jobs.insert(job);
    const startedAt = new Date('2026-01-01T00:00:00Z');
    await runs.complete({ workKey: 'silent', startedAt }, uuidv7(), '{}');
    expect(await jobs.find(job.id)).to.deep.include({ startedAt, version: 2 });
    expect(await runs.fail({ workKey: 'silent', startedAt }, { code: 'x', message: 'y' })).to.deep.equal([]);
    await runs.markProgress({ workKey: 'silent', startedAt: new Date() }, 1);
    expect(await jobs.find(job.id)).to.deep.include({ state: 'completed', startedAt, version: 2, done: 2 });
  });

  it('tell how many there are of each state', async () => {
    const before = await jobs.countByState();
    await jobs.insert(newJob('counted'));
    const after = await jobs.countByState();
    expect(after['queued']).to.equal((before['queued'] ?? 0) + 1);
  });
});
