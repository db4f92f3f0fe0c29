import { isClientJob, isPortfolioJob } from '../../../jobs/registry.ts';
import { enqueueWork } from '../../../src/features/jobs/enqueue-work.ts';
import { createRunQueries, type OpenWork } from '../../../src/features/jobs/queries/runs.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { Processor, WorkerModule } from '../../runtime/processor.ts';
import { createRetentions } from '../../runtime/retention.ts';
import { failRows, type ClientRunDeps } from './client-run.ts';

/** Maintains client jobs, and runs the retentions of all modules. */
export function createJobsProcessors(
  platform: Pick<Platform, 'config' | 'knex' | 'queues' | 'log'>,
  clientRuns: () => Pick<ClientRunDeps, 'runs' | 'events' | 'clock'>,
  modules: readonly WorkerModule[],
) {
  return {
    processors: {
      maintenance: () => {
        const runs = createRunQueries(platform.knex);
        const { JOB_RETENTION: seconds } = platform.config;
        const own = {
          'jobs.purge': { jobs: () => runs.purge(seconds), results: () => runs.purgeResults(seconds) },
        };
        return {
          'jobs.reconcile': createReconcile(platform, runs),
          ...createRetentions([own, ...modules.map(({ retentions }) => retentions)]),
        };
      },
    },
    onFinalFailure: async (name, data, reason) => {
      if (!isClientJob(name)) return;
      const { workKey } = data as { workKey: string };
      const message = reason.includes('stalled')
        ? 'The job ended its worker process repeatedly'
        : 'The job failed';
      await failRows(clientRuns(), workKey, { code: 'job_failed', message });
    },
  } satisfies WorkerModule;
}

/** An unfinished row older than this (s) is checked; younger ones are most likely just being added. */
const reconcileAfterSeconds = 3;
/** Rows checked at a time, the oldest first. */
const reconcileLimit = 1_000;
/** Pages per run of the reconciler; the next run continues after them, so that a long backlog hides nothing. */
const pagesPerPoll = 5;

/**
 * Enqueues every open work that Redis has lost. Whether it has is checked first, which costs a small part of adding: open work
 * that only waits is checked every few seconds. Deduplication makes a wrong guess harmless.
 */
export function createReconcile(
  { queues, log }: Pick<Platform, 'queues' | 'log'>,
  runs: Pick<ReturnType<typeof createRunQueries>, 'openWork'>,
): Processor<'jobs.reconcile'> {
  /** Where the last run of this process ended; undefined for the start. */
  let after: string | undefined;

  async function addAgain({ name, ...work }: OpenWork, ahead: number): Promise<boolean> {
    if (!isClientJob(name)) {
      log.error(
        { name, workKey: work.workKey },
        'this version does not know a stored unfinished job: it stays queued until a version that knows it runs (was the version rolled back?)',
      );
      return false;
    }
    if (await queues.has(name, work.workKey)) return false;
    await enqueueWork(queues, { ...work, name, ahead });
    return true;
  }

  return async () => {
    let added = 0;
    /** Jobs on portfolios found by this run, by user: their turns, as they were when they were submitted. */
    const found = new Map<string, number>();
    const aheadOf = ({ name, requester: { userId } }: OpenWork): number => {
      if (!isPortfolioJob(name)) return 0;
      const ahead = found.get(userId) ?? 0;
      found.set(userId, ahead + 1);
      return ahead;
    };
    for (let page = 0; page < pagesPerPoll; page++) {
      const { works, next } = await runs.openWork({
        seconds: reconcileAfterSeconds,
        limit: reconcileLimit,
        after,
      });
      const answers = await Promise.all(works.map((work) => addAgain(work, aheadOf(work))));
      added += answers.filter(Boolean).length;
      after = next;
      if (next === undefined) break;
    }
    return { added };
  };
}
