/** The service of jobs in a process: its forecasts, the ends that it hears of, and what it leaves when the process ends. */
import { mock } from 'node:test';
import { expect } from 'chai';
import { setImmediate as turn } from 'node:timers/promises';
import { createJobService } from '../../../src/features/jobs/job-service.ts';
import { createJobsModule } from '../../../src/features/jobs/module.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { createMetrics } from '../../../src/platform/observability/metrics-registry.ts';
import { createShutdown } from '../../../src/platform/observability/shutdown.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { jobRecord } from '../../http/support/ports.ts';
import { waitFor } from '../../support/wait-for.ts';

const running = jobRecord({ state: 'running', workKey: 'work' });

describe('the service of jobs', () => {
  let wanted: () => Promise<number>;
  let counts: Record<string, number>;
  let rows: object[];
  /** Answers the read of events that waits. */
  let happen: ((entries: [string, string[]][]) => void) | undefined;
  let ended: string[];
  /** Rows that were read. */
  let reads: number;
  const shutdown = createShutdown(silentLogger());

  function open(own = shutdown) {
    [counts, ended, reads, happen] = [{}, [], 0, undefined];
    wanted = () => Promise.resolve(500);
    rows = [];
    const log = silentLogger();
    const blocking = {
      xrevrange: () => Promise.resolve([]),
      xread: () =>
        new Promise((resolve) => {
          happen = (entries) => resolve([['events', entries]]);
        }),
      disconnect: () => void ended.push('events'),
    };
    const platform = {
      config: { JOB_BACKLOG_LIMIT: 10, JOB_BACKLOG_PER_USER: 10, PORTFOLIO_JOBS_PER_USER: 10 },
      log,
      clock: systemClock,
      shutdown: own,
      knex: {
        raw: () => {
          reads++;
          return Promise.resolve({ rows });
        },
      },
      redis: {},
      subscriber: { on: () => undefined, status: 'wait' },
      keys: { jobEvents: 'events', jobEventsEpoch: 'epoch', control: 'control' },
      queues: { counts: () => Promise.resolve(counts) },
      openRedis: () => blocking,
    };
    return createJobService(platform as never, {
      access: { usage: { job: () => undefined } as never },
      webhooks: { enqueueAttempts: () => Promise.resolve() },
      realtime: { registerTopic: () => undefined, open: () => undefined } as never,
      wantedAssets: () => wanted(),
      budget: () => Promise.resolve({ limit: 30, available: 0, nextGrantInMs: 4_000 }),
    });
  }
  let service: ReturnType<typeof open>;
  beforeEach(() => (service = open()));
  after(() => shutdown.run('the test ends'));

  /** By a currency of its own, because forecasts are shared. */
  const forecast = (currency: string): Promise<number | null> =>
    service.clientJobs.etaSeconds({ ...running, currency });

  it('forecasts by the demand and the budget', async () => {
    expect(await forecast('usd')).to.equal(7);
  });

  it('forecasts nothing while many jobs wait, whatever their priority', async () => {
    counts = { waiting: 60, prioritized: 40 };
    expect(await forecast('usd')).to.equal(7);
    counts = { waiting: 60, prioritized: 41 };
    expect(await forecast('eur')).to.equal(null);
  });

  it('forecasts nothing while Redis is away, which is no error', async () => {
    wanted = () => Promise.reject(new Error('Redis is away'));
    expect(await forecast('usd')).to.equal(null);
  });

  const row = (state: string): object => ({
    ...{ id: running.id, user_id: running.userId, name: running.name, state, done: 0, total: 2, version: 2 },
    ...{ work_key: 'work', data: { currency: 'usd' }, created_at: new Date(), started_at: null },
    ...{ finished_at: null, error: null, resolved: null, result_id: null, orphaned: false, body: null },
  });

  for (const subject of ['work:work', `job:${running.id}`])
    it(`wakes who waits by an end of ${subject.split(':')[0]}, and by nothing else`, async () => {
      // The row is looked at every second too, which would find the end without the event.
      mock.timers.enable({ apis: ['setTimeout'] });
      try {
        rows = [row('running')];
        let end: string | undefined;
        void service.clientJobs.waitForEnd(running, 60_000).then(({ state }) => (end = state));
        while (reads === 0 || happen === undefined) await turn();
        rows = [row('completed')];
        happen([['1-0', ['s', subject, 'e', '[{"type":"job.progress","data":{}}]']]]);
        for (let n = 0; n < 20; n++) await turn();
        expect(end).to.equal(undefined);
        happen([['2-0', ['s', subject, 'e', '[{"type":"job.completed","data":{}}]']]]);
        for (let n = 0; n < 500 && end === undefined; n++) await turn();
        expect(end).to.equal('completed');
      } finally {
        mock.timers.reset();
      }
    });

  it('counts jobs by their state, for metrics', async () => {
    const metrics = createMetrics();
    const streams = { open: () => undefined };
    const { clientJobs } = service;
    const jobs = { clientJobs, streams, countByState: () => Promise.resolve({ queued: 3, failed: 1 }) };
    createJobsModule(undefined, { jobs, realtime: {} as never }).metrics?.(metrics);
    const text = await metrics.text();
    expect(text).to.match(/job_states\{[^}]*state="queued"[^}]*\} 3/);
    expect(text).to.match(/job_states\{[^}]*state="failed"[^}]*\} 1/);
  });

  it('answers those who wait before anything else ends', async () => {
    const own = createShutdown(silentLogger());
    const { clientJobs } = open(own);
    rows = [row('running')];
    const waiting = clientJobs.waitForEnd(running, 60_000);
    await waitFor(() => reads > 0, { what: 'the wait to begin' });
    own.add('accept', 'the next phase', async () => void ended.push((await waiting).state));
    await own.run('the test ends');
    expect(ended).to.deep.equal(['running', 'events']);
  });
});
