/** The workers of portfolios, wired: books and their updates, performance, imports. A composition root like the main one. */
import { createJobEventLog } from '../src/events/job-events.ts';
import { listenForControl } from '../src/events/control.ts';
import type { WorkerParts } from './parts.ts';
import { failRows, type ClientRunDeps } from './processors/client-run.ts';
import { createBooksRebuild } from './processors/rebuild-books.ts';
import { createBooksUpdate } from './processors/update-books.ts';
import { createPerformanceCompute } from './processors/compute-performance.ts';
import { createTransactionsImport } from './processors/import-transactions.ts';
import { createAbandonments } from './runtime/abandonments.ts';
import { createWorker, type RunningWorker } from './runtime/create-worker.ts';

/** Portfolios whose books one process updates at once. */
const booksConcurrency = 4;
/** Client jobs on portfolios that one process runs at once: each may hold a long history in memory. */
const portfoliosConcurrency = 2;

/** Keeps derived tables up to date. */
export function startBooks({ log, pipeline }: WorkerParts): RunningWorker {
  return createWorker({
    queue: 'books',
    processors: { 'books.update': createBooksUpdate() },
    redis: pipeline.openRedis('blocking', 'books'),
    prefix: pipeline.keys.queues,
    concurrency: booksConcurrency,
    log,
  });
}

/** Runs the jobs of clients on portfolios. */
export function startPortfolios(parts: WorkerParts): RunningWorker {
  const { log, pipeline } = parts;
  const runDeps = clientRunsOf(parts);
  return createWorker({
    queue: 'portfolios',
    processors: {
      'books.rebuild': createBooksRebuild(),
      'performance.compute': createPerformanceCompute(),
      'transactions.import': createTransactionsImport(),
    },
    redis: pipeline.openRedis('blocking', 'portfolios'),
    prefix: pipeline.keys.queues,
    concurrency: portfoliosConcurrency,
    log,
    onDead: async (_name, data, reason) => {
      const { workKey } = data as { workKey: string };
      const message = reason.includes('stalled')
        ? 'The job ended its worker process repeatedly'
        : 'The job failed';
      await failRows(runDeps, workKey, { code: 'job_failed', message });
    },
  });
}

function clientRunsOf({ log, pipeline }: WorkerParts): ClientRunDeps {
  const { jobs, runs, clock, redis, keys, subscriber } = pipeline;
  const abandonments = createAbandonments();
  listenForControl(subscriber, keys.control, (workKey) => abandonments.abandon(workKey));
  return {
    jobs,
    runs,
    clock,
    log,
    events: createJobEventLog(redis, keys.jobEvents),
    abandoned: (workKey) => abandonments.watch(workKey),
  };
}
