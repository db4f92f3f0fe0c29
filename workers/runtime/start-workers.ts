import { type QueueName, registry, type JobName, type JobNameOf } from '../../jobs/registry.ts';
import type { Logger } from '../../src/platform/observability/logger.ts';
import type { Platform } from '../../src/platform/platform.ts';
import type { FleetClock } from '../../src/platform/redis/fleet-clock.ts';
import { createWorker, type RunningWorker } from './create-worker.ts';
import type { Processor, ProcessorsOf, WorkerModule } from './processor.ts';
import { keepSchedules } from './schedules.ts';
import { startWatchdog } from './watchdog.ts';

const settingsOf: Readonly<
  Record<
    QueueName,
    {
      /** Jobs that one process runs at once; of `requests`, as many as WORKER_CONCURRENCY says. */
      readonly concurrency?: number;
      /** How long (ms) a job of a dead process stays its own; the usual time when absent. */
      readonly lockMs?: number;
      /** Its jobs wait for quotes most of the time. */
      readonly givesWay?: boolean;
    }
  >
> = {
  requests: { givesWay: true },
  /**
   * As many at once as the gate lets call, and a few that wait for a grant. One job waits for a grant on behalf of everybody; when
   * its process dies, everybody waits for its lock to end. Half the usual time is safe: running a refresh twice costs a call at
   * worst, and the budget counts it.
   */
  refresh: { concurrency: 8, lockMs: 4_000 },
  /** A slot for every job: none waits for another. */
  maintenance: { concurrency: Object.values(registry).filter(({ queue }) => queue === 'maintenance').length },
  /** A mail may take longer than a usual lock lives; the mail of a process that dies is late, not lost. */
  mail: { concurrency: 4, lockMs: 40_000 },
  books: { concurrency: 4 },
  /** Each may hold a long history in memory. */
  portfolios: { concurrency: 2 },
  /** An attempt may take longer than a usual lock lives. */
  webhooks: { concurrency: 200, lockMs: 30_000 },
};

/**
 * BullMQ plans by the clock of the machine. A worker that is off by more (ms) would run delayed and periodic jobs at wrong times, so
 * it takes none until its clock is right.
 */
const maxLeadMs = 30_000;

/** Running jobs get this long (ms) to end; the process manager waits longer. */
const closeDeadlineMs = 7_000;

/** Names that the modules give processors for in a queue. */
type GivenFor<M, Q extends QueueName> = M extends {
  readonly processors: { readonly [K in Q]: () => infer P };
}
  ? keyof NonNullable<P>
  : never;

type MissingOf<M> = { [Q in QueueName]: Exclude<JobNameOf<Q>, GivenFor<M, Q>> }[QueueName];
type UnknownOf<M> = { [Q in QueueName]: Exclude<GivenFor<M, Q>, JobName> }[QueueName];

/** Every job of every queue has a processor, and there is none of a job that there is not: otherwise it does not compile. */
type Complete<M> = [MissingOf<M>, UnknownOf<M>] extends [never, never]
  ? unknown
  : { readonly missing: MissingOf<M>; readonly unknown: UnknownOf<M> };

/**
 * Serves the queues of WORKER_QUEUES with the processors of all modules, keeps the schedules of periodic jobs, and watches that jobs
 * are consumed. Jobs of one queue may come from several modules.
 * @throws {Error} when a job of a queue that is served has no processor, or has two.
 */
export function startWorkers<const M extends readonly WorkerModule[]>(
  platform: Platform & { readonly clock: Pick<FleetClock, 'leadMs' | 'onPoll'> },
  modules: M & Complete<M[number]>,
): void {
  const { config, log, shutdown, queues, keys } = platform;
  const workers = config.WORKER_QUEUES.flatMap((queue) => {
    const processors = openQueue(queue, modules);
    if (processors === undefined) return [];
    const { concurrency = config.WORKER_CONCURRENCY, ...settings } = settingsOf[queue];
    return createWorker<QueueName>({
      queue,
      processors,
      redis: platform.openRedis('blocking', queue),
      prefix: keys.queues,
      concurrency,
      ...settings,
      log,
      onFinalFailure: async (...job) => {
        for (const { onFinalFailure } of modules) await onFinalFailure?.(...job);
      },
    });
  });
  shutdown.add('work', 'workers', async () => {
    await Promise.all(workers.map((worker) => worker.close(closeDeadlineMs)));
  });
  const stopWatchdog = startWatchdog({ workers, queues, log, onStuck: () => process.exit(1) });
  const restsNow = (): boolean => Math.abs(platform.clock.leadMs() ?? 0) > maxLeadMs;
  const rest = createRest(workers, log);
  rest(restsNow());
  const stopLooking = platform.clock.onPoll(() => rest(restsNow()));
  const stopSchedules = keepSchedules(queues, {
    log,
    restsNow,
    isMaintained: config.WORKER_QUEUES.includes('maintenance'),
  });
  shutdown.add('accept', 'timers', () => {
    stopLooking();
    stopWatchdog();
    stopSchedules();
  });
  log.info({ queues: workers.map(({ queue }) => queue) }, 'worker started');
}

/** A periodic job whose time comes while this process still runs the last one is that one. */
function oneAtATime(processor: Processor<JobName>): Processor<JobName> {
  let running: ReturnType<Processor<JobName>> | undefined;
  return (...job) => (running ??= processor(...job).finally(() => (running = undefined)));
}

/** Opens a queue with every module that has jobs of it; undefined when it cannot be served as configured. */
function openQueue(queue: QueueName, modules: readonly WorkerModule[]): ProcessorsOf<QueueName> | undefined {
  const isOf = (name: string): boolean => registry[name as JobName].queue === queue;
  const given: [string, unknown][] = [];
  for (const { processors } of modules) {
    const open = processors[queue];
    if (open === undefined) continue;
    const opened = open();
    if (opened === undefined) return undefined;
    for (const [name, processor] of Object.entries(opened)) {
      if (!isOf(name)) continue;
      const { every } = registry[name as JobName];
      given.push([name, every === undefined ? processor : oneAtATime(processor)]);
    }
  }
  for (const name of Object.keys(registry).filter(isOf)) {
    const count = given.filter(([each]) => each === name).length;
    if (count !== 1) throw new Error(`${name} of the queue ${queue} has ${count} processors`);
  }
  return Object.fromEntries(given) as unknown as ProcessorsOf<QueueName>;
}

/** Lets all workers rest or go on; a change is logged. */
function createRest(workers: readonly RunningWorker[], log: Logger): (rests: boolean) => void {
  let resting = false;
  return (rests) => {
    if (rests === resting) return;
    resting = rests;
    for (const worker of workers) {
      if (rests) worker.pause();
      else worker.resume();
    }
    if (rests)
      log.error(
        { mostSeconds: maxLeadMs / 1000 },
        "this machine's clock is off by too much: this worker is paused and has requeued its jobs; set the clock (NTP)",
      );
    else log.info("this machine's clock is right again: this worker resumes");
  };
}
