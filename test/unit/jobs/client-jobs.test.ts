import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import type { JobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import type { JobRecord, Viewer } from '../../../src/domain/job.ts';
import { AppError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createClientJobs, type ClientJobs } from '../../../src/features/jobs/job-service.ts';
import type { Queues } from '../../../src/platform/queue/queues.ts';

const owner = uuidv7();
const mine: Viewer = { userId: owner, role: 'user' };
const theirs: Viewer = { userId: uuidv7(), role: 'user' };
const admin: Viewer = { userId: uuidv7(), role: 'admin' };

describe('the job desk', () => {
  let row: JobRecord;
  let cancelled: string[];
  let abandoned: string[];
  let announced: string[];
  /** Open rows of the same work after a cancel. */
  let others: number;
  let now: number;
  /** Subscriptions to the end of the job that are open, by what they call. */
  let subscribed: Set<() => void>;

  beforeEach(() => {
    row = {
      id: uuidv7(),
      userId: owner,
      name: 'bulk.fetch',
      state: 'running',
      done: 0,
      total: 1,
      version: 1,
      workKey: 'work',
      currency: 'usd',
      createdAt: new Date(),
      startedAt: new Date(),
      finishedAt: null,
      error: null,
      resultJson: null,
    };
    [cancelled, abandoned, announced, others, now] = [[], [], [], 0, 1_000_000];
    subscribed = new Set();
  });

  function clientJobs(different: Partial<Parameters<typeof createClientJobs>[0]> = {}): ClientJobs {
    const jobs: Partial<JobQueries> = {
      find: (id) => Promise.resolve(id === row.id ? row : undefined),
      cancel(id) {
        cancelled.push(id);
        row = { ...row, state: 'cancelled' };
        return Promise.resolve(row);
      },
      countOpen: () => Promise.resolve(others),
    };
    return createClientJobs({
      jobs: jobs as JobQueries,
      queues: {} as Queues,
      clock: { now: () => now },
      log: silentLogger(),
      backlogLimit: 10,
      backlogPerUser: 10,
      portfolioJobsPerUser: 10,
      onAccepted: () => undefined,
      abandon: (workKey) => Promise.resolve(void abandoned.push(workKey)),
      announceCancel: (id) => Promise.resolve(void announced.push(id)),
      onJobEnd(_job, onEnd) {
        subscribed.add(onEnd);
        return Promise.resolve(() => void subscribed.delete(onEnd));
      },
      forecast: () => Promise.resolve(null),
      ...different,
    });
  }

  async function codeOf(work: Promise<unknown>): Promise<string> {
    try {
      await work;
    } catch (error) {
      if (error instanceof AppError) return error.code;
      throw error;
    }
    return 'accepted';
  }

  it('shows a job to its owner and to admins, and to nobody else', async () => {
    expect((await clientJobs().get(row.id, mine)).id).to.equal(row.id);
    expect((await clientJobs().get(row.id, admin)).id).to.equal(row.id);
    for (const [id, viewer] of [
      [row.id, theirs],
      [uuidv7(), mine],
      ['not-a-uuid', admin],
    ] as const)
      expect(await codeOf(clientJobs().get(id, viewer))).to.equal('job_not_found');
  });

  it('gives the first job again for its key and body, and refuses another body', async () => {
    const jobs = {
      countBacklog: () => Promise.resolve(0),
      countOpenOfUser: () => Promise.resolve(0),
      insert: () => Promise.resolve(undefined),
      findByIdempotencyKey: () => Promise.resolve({ job: row, bodyHash: 'first' }),
    } as Partial<JobQueries> as JobQueries;
    const submission = { currency: 'usd', assets: ['bitcoin'] };
    const submit = (bodyHash: string): Promise<JobRecord> => {
      const idempotency = { key: 'order-1', route: 'POST /crypto/bulk', bodyHash };
      return clientJobs({ jobs }).submit({
        userId: owner,
        name: 'bulk.fetch',
        submission,
        total: 1,
        idempotency,
      });
    };
    expect((await submit('first')).id).to.equal(row.id);
    expect(await codeOf(submit('other'))).to.equal('idempotency_key_reused');
  });

  it('cancels a job for its owner and for admins, and for nobody else', async () => {
    expect(await codeOf(clientJobs().cancel(row.id, theirs))).to.equal('job_not_found');
    expect([cancelled, abandoned, announced]).to.deep.equal([[], [], []]);
    for (const viewer of [mine, admin]) {
      row = { ...row, state: 'queued' };
      expect((await clientJobs().cancel(row.id, viewer)).state).to.equal('cancelled');
    }
    expect(announced).to.deep.equal([row.id, row.id]);
  });

  it('leaves a job that has ended as it is', async () => {
    row = { ...row, state: 'completed' };
    expect((await clientJobs().cancel(row.id, mine)).state).to.equal('completed');
    expect([cancelled, announced]).to.deep.equal([[], []]);
  });

  it('gives a run up only when nobody else waits for it', async () => {
    others = 1;
    await clientJobs().cancel(row.id, mine);
    expect(abandoned).to.deep.equal([]);
    row = { ...row, state: 'running' };
    others = 0;
    await clientJobs().cancel(row.id, mine);
    expect(abandoned).to.deep.equal(['work']);
  });

  it('waits for the end that an event tells of, and listens no longer', async () => {
    const waiting = clientJobs().waitForEnd(row, 60_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(subscribed.size).to.equal(1);
    row = { ...row, state: 'completed' };
    for (const onEnd of subscribed) onEnd();
    expect((await waiting).state).to.equal('completed');
    expect(subscribed.size).to.equal(0);
  });

  it('waits no longer than it was asked to, nor for a client that is gone, nor in a process that ends', async () => {
    now += 5;
    expect((await clientJobs().waitForEnd(row, 0)).state).to.equal('running');
    expect((await clientJobs().waitForEnd(row, 60_000, AbortSignal.abort())).state).to.equal('running');
    const ending = new AbortController();
    const waiting = clientJobs({ draining: ending.signal }).waitForEnd(row, 60_000);
    ending.abort();
    expect((await waiting).state).to.equal('running');
    expect(subscribed.size).to.equal(0);
  });
});
