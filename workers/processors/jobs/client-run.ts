/**
 * The frame of a run for clients: one run serves every row with its work key, reports its progress, and ends all waiting rows
 * in one statement. Everything may be done twice: rows that have ended stay unchanged.
 */
import { v7 as uuidv7 } from 'uuid';
import { createJobQueries, type JobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import { createRunQueries, type RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { createControlChannel } from '../../../src/features/jobs/control-channel.ts';
import { createJobEventLog, workSubject, type JobEventLog } from '../../../src/features/jobs/job-events.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import { AppError, messageOf } from '../../../src/domain/errors.ts';
import { withDeadline } from '../../../src/platform/concurrency/deadline.ts';
import { isRedisOutage } from '../../../src/platform/redis/outage.ts';
import { isCancelled, isOutage } from '../../../db/outage.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { RunProgress } from './run-progress.ts';

export interface ClientRunDeps {
  readonly jobs: Pick<JobQueries, 'countOpen'>;
  readonly runs: RunQueries;
  readonly events: JobEventLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time (ms) after its submission at which a job should have ended; after an outage it is run again less often from there on. */
  readonly deadlineMs: number;
  /** A signal that aborts when nobody waits for the work any more. */
  readonly abandoned: (workKey: string) => { signal: AbortSignal; forget(): void };
}

/**
 * Opens what runs for clients need: the rows of jobs, their events, and requests to abandon a run.
 * @param enqueueWebhooks Called with jobs that have ended and need a webhook.
 */
export function openClientRuns(
  { config, knex, redis, subscriber, keys, clock, log }: Platform,
  enqueueWebhooks: (ids: readonly string[]) => void,
): ClientRunDeps {
  const cancellations = createCancellations();
  const control = createControlChannel({ redis, subscriber, channel: keys.control });
  control.listen(({ abandon }) => cancellations.abandon(abandon));
  return {
    jobs: createJobQueries(knex, enqueueWebhooks),
    runs: createRunQueries(knex, enqueueWebhooks),
    events: createJobEventLog(redis, keys.jobEvents),
    clock,
    log,
    deadlineMs: config.JOB_DEADLINE * 1000,
    abandoned: (workKey) => cancellations.watch(workKey),
  };
}

/** Registry of the runs of this process, so that they can be abandoned. */
export function createCancellations() {
  const runs = new Map<string, Set<AbortController>>();
  return {
    /** A signal that aborts when the work is abandoned. `forget` must be called when the run is over. */
    watch(workKey: string): { readonly signal: AbortSignal; forget(): void } {
      const controller = new AbortController();
      const controllers = runs.get(workKey) ?? new Set();
      runs.set(workKey, controllers.add(controller));
      return {
        signal: controller.signal,
        forget() {
          controllers.delete(controller);
          if (controllers.size === 0) runs.delete(workKey);
        },
      };
    },

    /** Aborts the runs of a work. */
    abandon(workKey: string): void {
      for (const controller of runs.get(workKey) ?? [])
        controller.abort(new Error('no client waits for this work'));
    },
  };
}

/**
 * A run that ended because of an outage of a store is started again after this time (ms), or up to twice as long, so that not
 * all start at once.
 */
const againAfterMs = 1_000;
/** As above, once the deadline of the job has passed: what has taken so long may take hours. */
const againLateMs = 10_000;
/** For so long (ms) after its submission an outage does not cost a job an attempt; its result would not be kept longer either. */
const outlastedMs = 24 * 3_600_000;

/** A finished run waits no longer than this (ms) for Redis to accept the next of its kind. */
const releaseMs = 2_000;

/** What a run gives its work. */
export interface RunControl {
  readonly startedAt: Date;
  readonly progress: RunProgress;
  /** Aborts when nobody waits for the work any more, when the process ends, or when another process has the job. */
  readonly signal: AbortSignal;
}

/**
 * Runs `work`, which returns the JSON text of the result, and ends the rows. An error that is meant for clients (an {@link
 * AppError} below 500) fails the rows with its code and message at once. An outage of Redis or Postgres requeues the job
 * without costing an attempt: when the stores are back, the work itself decides what its deadline means. Only a statement that
 * Postgres has ended for its length may be the fault of the job, so that it costs attempts after the deadline. Any other error
 * is retried, and on the last attempt fails the rows too, so that no accepted job is left open.
 */
export async function runForClients(
  deps: ClientRunDeps,
  {
    run: { workKey, total },
    context,
  }: {
    /** `total`: steps that count as progress. */
    readonly run: { readonly workKey: string; readonly total: number };
    readonly context: JobContext;
  },
  work: (control: RunControl) => Promise<string>,
): Promise<null> {
  const startedAt = new Date(deps.clock.now());
  try {
    await workAndComplete(deps, { workKey, total, context, startedAt }, work);
    return null;
  } catch (error) {
    if (error instanceof Requeue || context.signal.aborted) throw error;
    if (error instanceof AppError && error.status < 500) {
      await failRows(deps, workKey, { code: error.code, message: error.message, status: error.status });
      return null;
    }
    const ageMs = deps.clock.now() - context.addedAt;
    const isLate = ageMs >= deps.deadlineMs;
    const isAway = isRedisOutage(error) || (isOutage(error) && !(isLate && isCancelled(error)));
    if (isAway && ageMs < outlastedMs)
      throw new Requeue(messageOf(error), (isLate ? againLateMs : againAfterMs) * (1 + Math.random()));
    if (context.isLastAttempt) {
      await failRows(deps, workKey, { code: 'job_failed', message: 'The job failed repeatedly' });
    }
    throw error;
  }
}

async function workAndComplete(
  deps: ClientRunDeps,
  {
    workKey,
    total,
    context,
    startedAt,
  }: {
    readonly workKey: string;
    readonly total: number;
    readonly context: JobContext;
    readonly startedAt: Date;
  },
  work: (control: RunControl) => Promise<string>,
): Promise<void> {
  const abandoned = deps.abandoned(workKey);
  const progress = new RunProgress({ ...deps, workKey, total, startedAt });
  const signal = AbortSignal.any([context.waitSignal, abandoned.signal]);
  try {
    const body = await work({ startedAt, progress, signal });
    // The same work submitted from here on gets a run of its own; earlier submissions are completed by the next statement. While
    // Redis is away nobody can be queued at all, and the reconciler queues later submissions.
    await withDeadline(context.releaseDeduplication(), releaseMs, 'releasing the next run').catch(
      (error: unknown) => {
        if (!isRedisOutage(error)) throw error;
      },
    );
    const ended = await deps.runs.complete({ workKey, startedAt }, uuidv7(), body);
    if (ended.length > 0) await progress.completed(ended);
  } catch (error) {
    if (!abandoned.signal.aborted) throw error;
    // Nobody waited for the work; if somebody has submitted it since, it is run after all.
    await context.releaseDeduplication();
    if ((await deps.jobs.countOpen(workKey)) > 0) throw new Requeue('requested again');
  } finally {
    abandoned.forget();
    await progress.flushed();
  }
}

/** Ends all rows of a run as failed and publishes that. */
export async function failRows(
  deps: Pick<ClientRunDeps, 'runs' | 'events' | 'clock'>,
  workKey: string,
  failure: Parameters<RunQueries['fail']>[1],
): Promise<void> {
  const ended = await deps.runs.fail({ workKey, startedAt: new Date(deps.clock.now()) }, failure);
  if (ended.length === 0) return;
  const error = { code: failure.code, message: failure.message };
  await deps.events.append(workSubject(workKey), [
    { type: 'job.failed', data: { state: 'failed', error }, jobs: ended },
  ]);
}
