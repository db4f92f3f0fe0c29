/** What one user's jobs on portfolios may cost the others: turns, a bound, and what is kept of an account that is gone. */
import { expect } from 'chai';
import knexFactory, { type Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { createJobQueries, type JobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import { createRunQueries, type RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { portfolioJobNames } from '../../../jobs/registry.ts';
import { RateLimitedError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createClientJobs, type ClientJobs } from '../../../src/features/jobs/job-service.ts';
import { createReconcile } from '../../../workers/processors/jobs/module.ts';
import { jobContext } from '../../support/job-context.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

interface Added {
  readonly name: string;
  readonly priority: number;
  readonly userId: string;
}

describe('jobs on portfolios of many users', () => {
  let database: TestDatabase;
  let knex: Knex;
  let jobs: JobQueries;
  let runs: RunQueries;
  let clientJobs: ClientJobs;
  let added: Added[];
  let [joe, ann] = ['', ''];

  const queues = {
    has: () => Promise.resolve(false),
    add: (name: string, { requester }: { requester: string }, { priority }: { priority: number }) => {
      added.push({ name, priority, userId: requester.startsWith(joe) ? 'joe' : 'ann' });
      return Promise.resolve();
    },
  } as never;

  before(async () => {
    database = await createTestDatabase();
    knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 4 } });
    jobs = createJobQueries(knex);
    runs = createRunQueries(knex);
  });
  beforeEach(async () => {
    added = [];
    [joe, ann] = [uuidv7(), uuidv7()];
    await knex('jobs').delete();
    for (const id of [joe, ann])
      await knex('users').insert({ id, username: id, email: `${id}@example.com`, password_hash: 'x' });
    clientJobs = createClientJobs({
      jobs,
      queues,
      clock: { now: () => Date.now() },
      log: silentLogger(),
      backlogLimit: 1_000,
      backlogPerUser: 1_000,
      portfolioJobsPerUser: 5,
      onAccepted: () => undefined,
      abandon: () => Promise.resolve(),
      announceCancel: () => Promise.resolve(),
      onJobEnd: () => Promise.resolve(() => undefined),
      forecast: () => Promise.resolve(null),
    });
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  /** Each is other work. */
  const rebuild = (userId: string) =>
    clientJobs.submit({
      userId,
      name: 'books.rebuild',
      submission: { portfolioId: uuidv7(), currency: 'usd', method: 'fifo' },
      total: 100,
    });
  const turns = (): [string, number][] => added.map(({ userId, priority }) => [userId, priority]);

  it('have everybody’s first turn before anybody’s second', async () => {
    for (let count = 0; count < 3; count++) await rebuild(joe);
    const last = await rebuild(ann);
    await clientJobs.cancel(last.id, { userId: ann, role: 'user' });
    await rebuild(ann);
    expect(turns()).to.deep.equal([
      ['joe', 1],
      ['joe', 2],
      ['joe', 3],
      ['ann', 1],
      ['ann', 1],
    ]);
  });

  it('are so many for a user and no more, all at once too, until one has ended; other jobs are not concerned', async () => {
    const ends = await Promise.allSettled(Array.from({ length: 9 }, () => rebuild(joe)));
    const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
    expect(refused).to.have.length(4);
    for (const refusal of refused) {
      expect(refusal).to.be.instanceOf(RateLimitedError);
      expect(refusal).to.include({ status: 429, code: 'portfolio_backlog_full', retryAfterSeconds: 10 });
    }
    expect(await jobs.countOpenOfNames(joe, portfolioJobNames)).to.equal(5);
    const submission = { currency: 'usd', assets: ['bitcoin'] };
    await clientJobs.submit({ userId: joe, name: 'bulk.fetch', submission, total: 1 });
    await rebuild(ann);
    const { jobs: mine } = await clientJobs.list({
      userId: joe,
      page: 1,
      limit: 10,
      names: portfolioJobNames,
    });
    expect(mine).to.have.length(5);
    await runs.fail({ workKey: mine[0]!.workKey, startedAt: new Date() }, { code: 'x', message: 'y' });
    await rebuild(joe);
  });

  it('get their turns again when the queue has lost them', async () => {
    for (const userId of [joe, joe, ann, joe]) await rebuild(userId);
    await knex('jobs').update({ created_at: knex.raw(`created_at - interval '1 minute'`) });
    added = [];
    const reconcile = createReconcile({ queues, log: silentLogger() }, runs);
    await reconcile({}, jobContext());
    expect(turns()).to.deep.equal([
      ['joe', 1],
      ['joe', 2],
      ['ann', 1],
      ['joe', 3],
    ]);
  });

  it('tell nobody their results once the account is gone, and others who shared the run theirs', async () => {
    const row = { name: 'bulk.fetch', workKey: 'shared', submission: { currency: 'usd' }, total: 1 };
    const [gone, kept] = [
      { ...row, id: uuidv7(), userId: joe, resolvedJson: '[]' },
      { ...row, id: uuidv7(), userId: ann },
    ];
    await Promise.all([gone, kept].map(jobs.insert));
    await runs.complete({ workKey: 'shared', startedAt: new Date() }, uuidv7(), '{"r":1}');
    await knex('users').where({ id: joe }).update({ deleted_at: new Date() });
    const found = await Promise.all([gone, kept].map(({ id }) => jobs.find(id)));
    expect(found.map((job) => [job?.state, job?.resultJson, job?.resolvedJson])).to.deep.equal([
      ['completed', null, null],
      ['completed', '{"r":1}', null],
    ]);
    const asAdmin = await clientJobs.get(gone.id, { userId: ann, role: 'admin' });
    expect(asAdmin.resultJson).to.equal(null);
  });

  it('that failed of what they were given remember so, and show it to no client', async () => {
    const { id, workKey } = await rebuild(joe);
    const fault = { code: 'header_not_valid', message: 'a column is named twice' };
    await runs.fail({ workKey, startedAt: new Date() }, { ...fault, status: 422 });
    const job = await jobs.find(id);
    expect(job?.error).to.deep.equal(fault);
    expect(job?.errorStatus).to.equal(422);
  });
});
