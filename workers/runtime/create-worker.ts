import { DelayedError, UnrecoverableError, WaitingError, Worker, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import { ZodError } from 'zod';
import { type QueueName, registry, type JobName } from '../../jobs/registry.ts';
import { isUnrecoverable, messageOf } from '../../src/domain/errors.ts';
import { redisScript, runScript } from '../../src/platform/redis/redis-script.ts';
import type { Logger } from '../../src/platform/observability/logger.ts';
import type { JobContext, Processor, ProcessorsOf } from './processor.ts';
import { createDrain } from './drain.ts';
import { Requeue } from './requeue.ts';

/**
 * A BullMQ worker under our rules: data is checked before it is run, a lost lock aborts its job, a put-back costs no attempt,
 * and closing has a deadline. A crashed process's jobs are taken over within 10 s: the lock lives 8 s, and every 2 s somebody
 * looks for jobs without one (refresh jobs: 4 s and 1 s). After an outage of Redis that outlives the locks it takes two looks. A
 * job that stalls too often has ended its process each time, and fails; a process that lost the lock of a job and lives to notice was
 * not ended by it, so that this does not count, however often Redis is away.
 */
interface WorkerRequest<Q extends QueueName> {
  readonly queue: Q;
  readonly processors: ProcessorsOf<Q>;
  /** A `blocking` connection; the worker makes a second one of it. */
  readonly redis: Redis;
  readonly prefix: string;
  readonly concurrency: number;
  /** How long (ms) a job of a dead process stays its own. Default 8 s. */
  readonly lockMs?: number;
  /** Jobs that wait for something hold places: when all are taken, large ones make room for smaller ones that wait for their turn. */
  readonly givesWay?: boolean;
  readonly log: Logger;
  /** Called for a job that has finally failed, also when no processor ran (stalled too often). */
  readonly onFinalFailure?: (name: JobName, data: unknown, reason: string) => Promise<void>;
}

export interface RunningWorker {
  readonly queue: QueueName;
  /** Jobs running now. */
  active(): number;
  readonly concurrency: number;
  /** When a job last started or ended (ms, of the process's monotonic clock). */
  lastActivityAt(): number;
  /** Takes no more jobs for now, and lets those in hand put themselves back. */
  pause(): void;
  resume(): void;
  isPaused(): boolean;
  /** Takes no more jobs, lets waiting ones put themselves back, and gives running ones `deadlineMs` to end. */
  close(deadlineMs: number): Promise<void>;
}

const defaultLockMs = 8_000;
/** How many times per lock duration a worker looks for jobs without a lock. */
const pollsPerLock = 4;
/** Crashes of its process that a job survives. */
const maxStalled = 3;
/** Starts of a job from which on every stall counts: should a job keep its process from renewing locks, it has an end too. */
const maxForgivenStarts = 100;

/** KEYS: a job. Takes back one stall that the job did not cause; BullMQ may count it before or after this. */
const forgiveScript = redisScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HINCRBY', KEYS[1], 'stc', -1)`);

/**
 * KEYS: those that wait in line, those by priority. ARGV: what comes before the id in the key of a job. BullMQ puts a job that has
 * stalled in front of all others; after an outage that is thousands of large ones, and a small one would wait for all of them.
 */
const backInOrderScript = redisScript(`
local ids = redis.call('LRANGE', KEYS[1], -10000, -1)
for at = #ids, 1, -1 do
  local priority = tonumber(redis.call('HGET', ARGV[1] .. ids[at], 'priority') or '0')
  if priority > 0 then
    redis.call('LREM', KEYS[1], -1, ids[at])
    redis.call('ZADD', KEYS[2], priority * 0x100000000, ids[at])
  end
end
return #ids`);

/** A full worker looks this often (ms) for smaller jobs, and makes room for at most this many. */
const giveWayEveryMs = 500;
const maxRoomAtOnce = 50;

interface JobInHand {
  readonly job: Job;
  /** Stops the job if it waits. Absent before it has started. */
  stopWaiting?: (why: Requeue) => void;
}

/** Starts a worker on a queue. */
export function createWorker<Q extends QueueName>(request: WorkerRequest<Q>): RunningWorker {
  const { queue, redis, prefix, concurrency, lockMs = defaultLockMs, givesWay = false, log } = request;
  const drain = createDrain();
  const inHand = new Map<string, JobInHand>();
  let active = 0;
  let lastActivityAt = performance.now();

  const run = async (job: Job, token?: string, signal?: AbortSignal): Promise<unknown> => {
    active++;
    lastActivityAt = performance.now();
    const held: JobInHand = { job };
    inHand.set(job.id ?? '', held);
    try {
      return await runJob({ request, held, signal: signal ?? new AbortController().signal, drain });
    } catch (error) {
      return await settleFailure(job, token, error);
    } finally {
      active--;
      if (inHand.get(job.id ?? '') === held) inHand.delete(job.id ?? '');
      lastActivityAt = performance.now();
    }
  };

  const worker = new Worker(queue, run, {
    connection: redis,
    prefix,
    concurrency,
    lockDuration: lockMs,
    stalledInterval: lockMs / pollsPerLock,
    maxStalledCount: maxStalled,
    drainDelay: 2,
  });
  watch(worker, request, (id) => {
    const job = inHand.get(id)?.job;
    if (job === undefined || job.attemptsStarted > maxForgivenStarts) return;
    // Its lock is lost once, however often that is noticed.
    inHand.delete(id);
    runScript(redis, forgiveScript, { keys: [`${prefix}:${queue}:${id}`], args: [] }).catch(
      (error: unknown) => {
        log.warn(
          { queue, job: id, reason: messageOf(error) },
          'a job lost its lock because Redis did not answer; this counts as a crash of the job, and it may fail early',
        );
      },
    );
  });

  let isOrdering = false;
  worker.on('stalled', () => {
    if (isOrdering) return;
    isOrdering = true;
    // BullMQ reports stalled jobs one by one, after it has moved all of them.
    setImmediate(() => {
      isOrdering = false;
      const of = `${prefix}:${queue}:`;
      const requested = { keys: [`${of}wait`, `${of}prioritized`], args: [of] };
      runScript(redis, backInOrderScript, requested).catch((error: unknown) => {
        log.debug({ queue, reason: messageOf(error) }, 'stalled jobs stay in front');
      });
    });
  });

  const isFull = (): boolean => active >= concurrency && !worker.isPaused();
  const stopGivingWay = givesWay ? startGivingWay({ ...request, isFull, inHand }) : () => undefined;

  return {
    queue,
    concurrency,
    active: () => active,
    lastActivityAt: () => lastActivityAt,
    pause() {
      drain.begin();
      worker
        .pause(true)
        .catch((error: unknown) =>
          log.warn(
            { queue, reason: messageOf(error) },
            'the worker could not be paused although its clock is off: it may still start jobs',
          ),
        );
    },
    resume() {
      drain.end();
      void worker.resume();
    },
    isPaused: () => worker.isPaused(),
    async close(deadlineMs) {
      stopGivingWay();
      drain.begin();
      await closeWithin(worker, deadlineMs, () => {
        log.warn(
          { queue, active },
          'shutting down: jobs did not finish in time; another worker runs them again',
        );
      });
    },
  };
}

/**
 * Lets the largest jobs that wait put themselves back when the worker is full and smaller ones are queued, which come first in the
 * order of the queue. The job that started last gives way first. It loses its slot, not what it is waiting for.
 * @returns how to stop.
 */
function startGivingWay({
  queue,
  prefix,
  redis,
  log,
  isFull,
  inHand,
}: Pick<WorkerRequest<QueueName>, 'queue' | 'prefix' | 'redis' | 'log'> & {
  readonly isFull: () => boolean;
  readonly inHand: ReadonlyMap<string, JobInHand>;
}): () => void {
  const giveWay = async (): Promise<void> => {
    const scored = await redis.zrange(
      `${prefix}:${queue}:prioritized`,
      0,
      String(maxRoomAtOnce - 1),
      'WITHSCORES',
    );
    // A score is the priority and, in its lower 32 bits, a number in the order of coming.
    const smaller = scored
      .filter((_, index) => index % 2 === 1)
      .map((score) => Math.floor(Number(score) / 2 ** 32));
    if (smaller.length === 0 || !isFull()) return;
    const largest = [...inHand.values()].reverse().toSorted((a, b) => b.job.priority - a.job.priority);
    for (const [index, priority] of smaller.entries()) {
      const held = largest[index];
      if (held === undefined || held.job.priority <= priority) return;
      held.stopWaiting?.(new Requeue('a smaller job waits for a slot'));
    }
  };
  let isPolling = false;
  const timer = setInterval(() => {
    if (isPolling || !isFull()) return;
    isPolling = true;
    giveWay()
      .catch((error: unknown) =>
        log.debug({ queue, reason: messageOf(error) }, 'no slot could be freed for smaller jobs'),
      )
      .finally(() => (isPolling = false));
  }, giveWayEveryMs).unref();
  return () => clearInterval(timer);
}

/** BullMQ's own close waits for running jobs for ever, and a second one, forced or not, joins the first. */
async function closeWithin(worker: Worker, deadlineMs: number, onLate: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      onLate();
      resolve();
    }, deadlineMs);
  });
  try {
    await Promise.race([worker.close(), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runJob<Q extends QueueName>({
  request,
  held,
  signal,
  drain,
}: {
  readonly request: WorkerRequest<Q>;
  readonly held: JobInHand;
  readonly signal: AbortSignal;
  readonly drain: ReturnType<typeof createDrain>;
}): Promise<unknown> {
  const { job } = held;
  const name = job.name as JobName;
  const processor = (request.processors as Readonly<Record<string, Processor<JobName> | undefined>>)[name];
  if (processor === undefined)
    throw new UnrecoverableError(
      `this version has no processor for ${name} on the queue ${request.queue} (was the version rolled back?)`,
    );
  const signals = drain.watch(signal);
  held.stopWaiting = signals.stopWaiting;
  const context: JobContext = {
    jobId: job.id ?? '',
    addedAt: job.timestamp,
    start: job.attemptsStarted,
    isLastAttempt: job.attemptsMade + 1 >= (job.opts.attempts ?? 1),
    signal,
    waitSignal: signals.waits,
    callSignal: signals.calls,
    async releaseDeduplication() {
      await job.removeDeduplicationKey();
    },
  };
  try {
    return await processor(registry[name].schema.parse(job.data), context);
  } finally {
    signals.end();
  }
}

/** Decides what a failure means: back to the queue, never again, or another attempt. */
async function settleFailure(job: Job, token: string | undefined, error: unknown): Promise<never> {
  if (error instanceof Requeue) {
    if (error.delayMs > 0) {
      await job.moveToDelayed(Date.now() + error.delayMs, token);
      throw new DelayedError();
    }
    await job.moveToWait(token);
    throw new WaitingError();
  }
  if (error instanceof ZodError)
    throw new UnrecoverableError(`the data of the job is not valid: ${error.message}`);
  if (isUnrecoverable(error)) throw new UnrecoverableError(messageOf(error));
  throw error;
}

function watch<Q extends QueueName>(
  worker: Worker,
  { queue, log, onFinalFailure }: WorkerRequest<Q>,
  onLockLost: (jobId: string) => void,
): void {
  worker.on('error', (error) => log.debug({ queue, reason: messageOf(error) }, 'worker error'));
  worker.on('lockRenewalFailed', (jobIds) => {
    log.warn(
      { queue, jobs: jobIds },
      'jobs lost their lock (Redis was unreachable, or this process hung): stopped here, a worker runs them again',
    );
    for (const id of jobIds) {
      worker.cancelJob(id, 'the lock was lost');
      onLockLost(id);
    }
  });
  worker.on('failed', (job, error) => {
    log.warn({ queue, job: job?.id, name: job?.name, reason: messageOf(error) }, 'a job failed');
    if (job === undefined || !isFinalFailure(job, error)) return;
    onFinalFailure?.(job.name as JobName, job.data, messageOf(error)).catch((failure: unknown) => {
      log.error(
        { job: job.id, reason: messageOf(failure) },
        'a job failed, and its failure could not be stored (check Postgres): its client still sees it as running',
      );
    });
  });
}

function isFinalFailure(job: Job, error: Error): boolean {
  return (
    job.finishedOn !== undefined ||
    error instanceof UnrecoverableError ||
    error.message.includes('stalled more than')
  );
}
