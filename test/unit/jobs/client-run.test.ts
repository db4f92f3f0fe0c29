import { expect } from 'chai';
import type { JobEvent } from '../../../src/features/jobs/job-events.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { DeadlineError } from '../../../src/platform/concurrency/deadline.ts';
import { AppError, NotFoundError, UnavailableError } from '../../../src/domain/errors.ts';
import {
  createCancellations,
  runForClients,
  type RunControl,
} from '../../../workers/processors/jobs/client-run.ts';
import type { JobContext } from '../../../workers/runtime/processor.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';
import { jobContext } from '../../support/job-context.ts';

const deadlineMs = 60_000;

describe('a run for clients', () => {
  /** Rows that were ended, and how. */
  let ended: string[];
  let cancellations: ReturnType<typeof createCancellations>;
  /** Rows that wait for the work. */
  let open: number;
  /** What streams were told, by subject. */
  let published: { readonly subject: string; readonly events: readonly JobEvent[] }[];
  /** Rows that the end of a run finds waiting. */
  let waiting: readonly string[];
  beforeEach(() => {
    [ended, open, published, waiting] = [[], 1, [], ['row']];
    cancellations = createCancellations();
  });

  /** What a run that works so comes to. */
  async function outcomeOf(
    work: (control: RunControl) => Promise<string>,
    different: Partial<JobContext> = {},
  ): Promise<unknown> {
    const deps = {
      jobs: { countOpen: () => Promise.resolve(open) },
      runs: {
        markProgress: () => Promise.resolve(),
        complete: () => Promise.resolve([...(ended.push('completed'), waiting)]),
        fail: (_run: unknown, { code }: { code: string }) =>
          Promise.resolve([...(ended.push(code), waiting)]),
      },
      events: {
        append: (subject: string, events: readonly JobEvent[]) =>
          Promise.resolve(void published.push({ subject, events })),
      },
      clock: { now: () => Date.now() },
      log: silentLogger(),
      deadlineMs,
      abandoned: (workKey: string) => cancellations.watch(workKey),
    } as unknown as Parameters<typeof runForClients>[0];
    const context = { ...jobContext(), isLastAttempt: true, ...different };
    return await runForClients(deps, { run: { workKey: 'w', total: 1 }, context }, work).catch(
      (error: unknown) => error,
    );
  }

  const outages = {
    'a Redis that does not answer in time': new Error('Command timed out'),
    'a Redis that is away': new Error("Stream isn't writeable and enableOfflineQueue options is false"),
    'a Redis that starts': new Error('LOADING Redis is loading the dataset in memory'),
    'a full Redis': new Error("OOM command not allowed when used memory > 'maxmemory'."),
    'an add that takes too long': new DeadlineError('adding a job', 1_500),
    'a cache that does not answer': new UnavailableError('Cache unavailable', {
      code: 'cache_unavailable',
      cause: new Error('Connection is closed.'),
    }),
    'a Postgres that is away': Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  };
  for (const [what, error] of Object.entries(outages)) {
    it(`is put back, without an attempt, by ${what}`, async () => {
      const outcome = await outcomeOf(() => Promise.reject(error));
      expect(outcome).to.be.instanceOf(Requeue);
      expect((outcome as Requeue).delayMs).to.be.within(1_000, 2_000);
      expect(ended).to.deep.equal([]);
    });
  }

  it('outlasts an outage that is longer than its deadline, and asks less often then', async () => {
    for (const error of Object.values(outages)) {
      const outcome = await outcomeOf(() => Promise.reject(error), { addedAt: Date.now() - deadlineMs });
      expect(outcome).to.be.instanceOf(Requeue);
      expect((outcome as Requeue).delayMs).to.be.within(10_000, 20_000);
    }
    expect(ended).to.deep.equal([]);
  });

  it('counts attempts after a day of outages', async () => {
    const addedAt = Date.now() - 24 * 3_600_000;
    const outcome = await outcomeOf(() => Promise.reject(new Error('Command timed out')), { addedAt });
    expect(outcome).to.not.be.instanceOf(Requeue);
    expect(ended).to.deep.equal(['job_failed']);
  });

  it('counts a statement that is ended for its length once its deadline has passed', async () => {
    const tooLong = Object.assign(new Error('canceling statement due to statement timeout'), {
      code: '57014',
    });
    const outcome = await outcomeOf(() => Promise.reject(tooLong));
    expect(outcome).to.be.instanceOf(Requeue);
    const addedAt = Date.now() - deadlineMs;
    expect(await outcomeOf(() => Promise.reject(tooLong), { addedAt })).to.equal(tooLong);
    expect(ended).to.deep.equal(['job_failed']);
  });

  it('fails at once by what was asked, and at the last attempt by a fault of ours', async () => {
    expect(await outcomeOf(() => Promise.reject(new NotFoundError('no such coin')))).to.equal(null);
    expect(await outcomeOf(() => Promise.reject(new TypeError('a bug')))).to.be.instanceOf(TypeError);
    expect(ended).to.deep.equal(['not_found', 'job_failed']);
  });

  it('is given up when nobody waits any more, and put back when somebody has come meanwhile', async () => {
    const abandoned = (): Promise<never> => {
      cancellations.abandon('w');
      return Promise.reject(new Error('nobody waits for this work'));
    };
    open = 0;
    expect(await outcomeOf(abandoned)).to.equal(null);
    open = 1;
    expect(await outcomeOf(abandoned)).to.be.instanceOf(Requeue);
    expect(ended).to.deep.equal([]);
  });

  it('ends its rows while Redis is away', async () => {
    const releaseDeduplication = (): Promise<void> => Promise.reject(new Error('Connection is closed.'));
    expect(await outcomeOf(() => Promise.resolve('{}'), { releaseDeduplication })).to.equal(null);
    expect(ended).to.deep.equal(['completed']);
  });

  it('tells all who follow it of its end, and nobody of one that nobody waited for', async () => {
    await outcomeOf(() => Promise.resolve('{}'));
    await outcomeOf(() => Promise.reject(new NotFoundError('no such coin')));
    const ends = published.map(({ subject, events }) => [subject, events.at(-1)]);
    expect(ends).to.deep.equal([
      [
        'work:w',
        {
          type: 'job.completed',
          data: { state: 'completed', progress: { done: 1, total: 1 } },
          jobs: ['row'],
        },
      ],
      [
        'work:w',
        {
          type: 'job.failed',
          data: { state: 'failed', error: { code: 'not_found', message: 'no such coin' } },
          jobs: ['row'],
        },
      ],
    ]);
    [published, waiting] = [[], []];
    await outcomeOf(() => Promise.resolve('{}'));
    await outcomeOf(() => Promise.reject(new NotFoundError('no such coin')));
    expect(published).to.deep.equal([]);
  });

  it('leaves its rows open while there are attempts left, also for an error of ours with a status', async () => {
    const different = { isLastAttempt: false };
    for (const error of [new TypeError('a bug'), new AppError('broken', { code: 'broken', status: 500 })])
      expect(await outcomeOf(() => Promise.reject(error), different)).to.equal(error);
    expect(ended).to.deep.equal([]);
  });

  it('leaves its rows to the process that has taken the job over', async () => {
    const lost = new AbortController();
    const error = new Error('the lock was lost');
    const outcome = await outcomeOf(
      () => {
        lost.abort(error);
        return Promise.reject(error);
      },
      { signal: lost.signal, waitSignal: lost.signal },
    );
    expect(outcome).to.equal(error);
    expect(ended).to.deep.equal([]);
  });

  it('stops waiting when its process ends, when nobody waits, and for no other work', async () => {
    const ending = new AbortController();
    const seen: boolean[] = [];
    const stopped = async ({ signal }: RunControl): Promise<string> => {
      cancellations.abandon('another');
      seen.push(signal.aborted);
      ending.abort(new Requeue('this worker stops'));
      seen.push(signal.aborted);
      return await Promise.reject(ending.signal.reason as Error);
    };
    expect(await outcomeOf(stopped, { waitSignal: ending.signal })).to.be.instanceOf(Requeue);
    const abandoned = ({ signal }: RunControl): Promise<string> => {
      cancellations.abandon('w');
      seen.push(signal.aborted);
      return Promise.reject(signal.reason as Error);
    };
    open = 0;
    await outcomeOf(abandoned);
    expect(seen).to.deep.equal([false, true, true]);
  });

  it('lets the same work be queued again before it looks whether somebody wants it', async () => {
    const order: string[] = [];
    const releaseDeduplication = (): Promise<void> => Promise.resolve(void order.push('released'));
    await outcomeOf(
      () => {
        cancellations.abandon('w');
        return Promise.reject(new Error('nobody waits'));
      },
      { releaseDeduplication },
    );
    await outcomeOf(() => Promise.resolve(String(order.push('worked'))), { releaseDeduplication });
    expect(order).to.deep.equal(['released', 'worked', 'released']);
  });

  it('is abandoned with all runs of its work in this process, and not when it is over', () => {
    const [first, second] = [cancellations.watch('w'), cancellations.watch('w')];
    first.forget();
    cancellations.abandon('w');
    expect([first.signal.aborted, second.signal.aborted]).to.deep.equal([false, true]);
    second.forget();
    const next = cancellations.watch('w');
    expect(next.signal.aborted).to.equal(false);
    cancellations.abandon('w');
    expect(next.signal.aborted).to.equal(true);
  });
});
