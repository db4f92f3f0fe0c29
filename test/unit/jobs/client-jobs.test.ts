import { getEventListeners } from 'node:events';
import { mock } from 'node:test';
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import type { JobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import type { JobRecord, Viewer } from '../../../src/domain/job.ts';
import { AppError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import {
  createClientJobs,
  type ClientJobs,
  type SubmitRequest,
} from '../../../src/features/jobs/job-service.ts';
import type { Queues } from '../../../src/platform/queue/queues.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

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

  it('leaves nothing behind on what it has listened to', async () => {
    const [client, ending] = [new AbortController().signal, new AbortController().signal];
    const waiting = clientJobs({ draining: ending }).waitForEnd(row, 60_000, client);
    await new Promise((resolve) => setImmediate(resolve));
    const listeners = (): number[] =>
      [client, ending].map((signal) => getEventListeners(signal, 'abort').length);
    expect(listeners()).to.deep.equal([1, 1]);
    row = { ...row, state: 'completed' };
    for (const onEnd of subscribed) onEnd();
    await waiting;
    expect(listeners()).to.deep.equal([0, 0]);
  });

  it('looks at the row every second, because the event of the end may be lost', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const waiting = clientJobs().waitForEnd(row, 60_000);
      await new Promise((resolve) => setImmediate(resolve));
      row = { ...row, state: 'completed' };
      mock.timers.tick(1_000);
      expect((await waiting).state).to.equal('completed');
    } finally {
      mock.timers.reset();
    }
  });

  it('cancels a job though nobody can be told, and says so in the log', async () => {
    const { log, lines } = recordingLogger();
    const away = () => Promise.reject(new Error('Redis is away'));
    const jobs = clientJobs({ log, announceCancel: away, abandon: away });
    expect((await jobs.cancel(row.id, mine)).state).to.equal('cancelled');
    expect(lines.map(({ level, fields }) => [level, fields['reason']])).to.deep.equal([
      ['warn', 'Redis is away'],
      ['warn', 'Redis is away'],
    ]);
  });

  it('gives a job that has ended a moment before its cancellation as it is, and tells nobody', async () => {
    const jobs = {
      find: () => Promise.resolve(row),
      cancel: () => {
        row = { ...row, state: 'completed' };
        return Promise.resolve(undefined);
      },
    } as Partial<JobQueries> as JobQueries;
    expect((await clientJobs({ jobs }).cancel(row.id, mine)).state).to.equal('completed');
    expect([announced, abandoned]).to.deep.equal([[], []]);
  });

  it('lists page after page', async () => {
    const pages: unknown[] = [];
    const list: JobQueries['list'] = (page) => {
      pages.push(page);
      return Promise.resolve({ jobs: [], total: 0 });
    };
    const jobs = clientJobs({ jobs: { list } as Partial<JobQueries> as JobQueries });
    for (const page of [1, 3]) await jobs.list({ userId: owner, page, limit: 20, state: 'failed' });
    expect(pages).to.deep.equal([
      { userId: owner, limit: 20, state: 'failed', offset: 0 },
      { userId: owner, limit: 20, state: 'failed', offset: 40 },
    ]);
  });

  describe('forecasts', () => {
    let requested: string[];
    const forecasting = (): ClientJobs =>
      clientJobs({
        forecast: (currency) => {
          requested.push(currency);
          return Promise.resolve(requested.length);
        },
      });
    beforeEach(() => (requested = []));

    it('once for all who ask at about the same time, each currency by itself', async () => {
      const jobs = forecasting();
      const eur = { ...row, currency: 'eur' };
      expect([await jobs.etaSeconds(row), await jobs.etaSeconds(eur)]).to.deep.equal([1, 2]);
      now += 250;
      expect(await jobs.etaSeconds(row)).to.equal(1);
      now += 1;
      expect(await jobs.etaSeconds(row)).to.equal(3);
      expect(requested).to.deep.equal(['usd', 'eur', 'usd']);
    });

    it('nothing for a job that has ended', async () => {
      expect(await forecasting().etaSeconds({ ...row, state: 'failed' })).to.equal(null);
      expect(requested).to.deep.equal([]);
    });

    it('and remembers a bounded number of them', async () => {
      const jobs = forecasting();
      for (let n = 0; n < 101; n++) await jobs.etaSeconds({ ...row, currency: `c${n}` });
      expect(await jobs.etaSeconds({ ...row, currency: 'c0' }), 'asked again').to.equal(102);
    });
  });

  describe('takes a submission', () => {
    let stored: unknown[];
    let added: unknown[][];
    let accepted: unknown[];
    let backlog: number;
    let openOnPortfolios: number;
    /** What storing comes to; a row of the job when absent. */
    let outcome: (() => Promise<JobRecord | undefined>) | undefined;
    /** Users who have a place at the limit of all jobs. */
    let counted: number;

    beforeEach(() => {
      [stored, added, accepted, backlog, openOnPortfolios, counted] = [[], [], [], 0, 0, 0];
      outcome = undefined;
    });

    function newJobs(different: Partial<Parameters<typeof createClientJobs>[0]> = {}): ClientJobs {
      const jobs: Partial<JobQueries> = {
        countBacklog: () => {
          counted++;
          return Promise.resolve(backlog);
        },
        countOpenOfUser: () => Promise.resolve(0),
        countOpenOfNames: () => Promise.resolve(openOnPortfolios),
        insert: (job) => {
          stored.push(job);
          return outcome?.() ?? Promise.resolve(row);
        },
        findByIdempotencyKey: (...which) => {
          stored.push(which);
          return Promise.resolve({ job: row, bodyHash: 'hash' });
        },
      };
      const queues = { add: (...job: unknown[]) => Promise.resolve(void added.push(job)) };
      return clientJobs({
        jobs: jobs as JobQueries,
        queues: queues as unknown as Queues,
        onAccepted: ({ userId, keyId }) => accepted.push([userId, keyId]),
        ...different,
      });
    }
    const bulk: SubmitRequest<'bulk.fetch'> = {
      userId: owner,
      keyId: 'key-1',
      name: 'bulk.fetch',
      submission: { currency: 'usd', assets: ['bitcoin', 'solana'] },
      total: 2,
    };
    const rebuild = {
      userId: owner,
      name: 'books.rebuild',
      submission: { portfolioId: uuidv7(), currency: 'usd', method: 'fifo' },
      total: 100,
    } as const;

    it('and queues it once for its work, the smallest first, on the account of who asked', async () => {
      await newJobs().submit(bulk);
      const [[name, data, options] = []] = added as [string, Record<string, unknown>, object][];
      const { workKey, ...rest } = data ?? {};
      expect(name).to.equal('bulk.fetch');
      expect(workKey).to.match(/^[\w-]{43}$/);
      expect(rest).to.deep.equal({ ...bulk.submission, requester: `${owner}/key-1` });
      expect(options).to.deep.equal({ deduplication: { id: workKey }, priority: 2 });
      expect(stored[0]).to.deep.include({ userId: owner, keyId: 'key-1', workKey, total: 2 });
      expect(accepted).to.deep.equal([[owner, 'key-1']]);
    });

    it('on a portfolio in its turn: behind as many as the user has', async () => {
      const jobs = newJobs();
      await jobs.submit(rebuild);
      openOnPortfolios = 4;
      await jobs.submit(rebuild);
      expect(added.map(([, , options]) => (options as { priority: number }).priority)).to.deep.equal([1, 5]);
    });

    it('and keeps no place of a job on a portfolio once it is stored', async () => {
      const jobs = newJobs({ portfolioJobsPerUser: 2 });
      for (let n = 0; n < 5; n++) expect(await codeOf(jobs.submit(rebuild))).to.equal('accepted');
    });

    it('that Redis does not take yet, and says so in the log', async () => {
      const { log, lines } = recordingLogger();
      const queues = { add: () => Promise.reject(new Error('Redis is away')) } as unknown as Queues;
      expect((await newJobs({ log, queues }).submit(bulk)).id).to.equal(row.id);
      expect(lines[0]).to.deep.include({
        level: 'warn',
        message:
          'a job was accepted but not queued: Redis did not take it; a worker queues it again within seconds',
      });
      expect(lines[0]?.fields['reason']).to.equal('Redis is away');
    });

    it('until too many jobs wait, those of a moment ago included', async () => {
      backlog = 8;
      const jobs = newJobs({ backlogPerUser: 100 });
      const codes = [];
      for (let n = 0; n < 3; n++) codes.push(await codeOf(jobs.submit(bulk)));
      expect(codes).to.deep.equal(['accepted', 'accepted', 'backlog_full']);
      expect([counted, stored.length, added.length]).to.deep.equal([1, 2, 2]);
      now += 1_001;
      backlog = 9;
      expect(await codeOf(jobs.submit(bulk))).to.equal('accepted');
    });

    it('again for the same key, which is neither queued, counted nor held against the user', async () => {
      outcome = () => Promise.resolve(undefined);
      const jobs = newJobs({ backlogPerUser: 2 });
      const idempotency = { key: 'k', route: 'POST /crypto/bulk', bodyHash: 'hash' };
      for (let n = 0; n < 5; n++) expect((await jobs.submit({ ...bulk, idempotency })).id).to.equal(row.id);
      expect([added, accepted]).to.deep.equal([[], []]);
      expect(stored[1]).to.deep.equal([owner, 'POST /crypto/bulk', 'k']);
    });

    it('of nobody who has no account any more', async () => {
      outcome = () => Promise.reject(Object.assign(new Error('violates'), { code: '23503' }));
      expect(await codeOf(newJobs().submit(bulk))).to.equal('token_invalid');
      expect([added, accepted]).to.deep.equal([[], []]);
    });
  });
});
