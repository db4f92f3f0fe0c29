import { setMaxListeners } from 'node:events';
import { v7 as uuidv7, validate as isUuid } from 'uuid';
import { isPortfolioJob, portfolioJobNames, type ClientJobName } from '../../../jobs/registry.ts';
import type { JobQueries } from './queries/jobs.ts';
import { orUnavailable } from '../../../db/outage.ts';
import { isFinal, type JobRecord, type Viewer } from '../../domain/job.ts';
import { type Requester } from '../../domain/requester.ts';
import { createBell } from '../../platform/concurrency/wake-signal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import {
  IdempotencyMismatchError,
  messageOf,
  NotFoundError,
  UnauthenticatedError,
  UnavailableError,
} from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { JobDesk, JobPage, Submission, SubmitRequest } from './job-service.ts';
import { createPortfolioBacklog, type PortfolioBacklog, type PortfolioPlace } from './portfolio-backlog.ts';
import { enqueueWork } from './enqueue-work.ts';
import type { Queues } from '../../platform/queue/queues.ts';
import { createUserBacklog, type UserBacklog } from './user-backlog.ts';
import { workKeyOf } from './work-key.ts';

/**
 * The order of a submission is what makes it safe: first the row is committed, then the job is added. From the commit on the
 * answer is 202; if the add fails, or Redis forgets it, the reconciler adds it again from the row.
 */
export interface JobDeskDeps {
  readonly jobs: JobQueries;
  readonly queues: Queues;
  readonly clock: Clock;
  readonly log: Logger;
  readonly backlogLimit: number;
  /** Unfinished jobs that one user may have. */
  readonly backlogPerUser: number;
  /** Unfinished jobs on portfolios that one user may have. */
  readonly portfolioJobsPerUser: number;
  /** Told of every job that was accepted, repetitions by an idempotency key left out. Must not throw. */
  readonly onAccepted: (who: Requester) => void;
  /** Tells workers that nobody waits for a run any more. */
  readonly abandon: (workKey: string) => Promise<void>;
  /** Tells streams that one job was cancelled. */
  readonly announceCancel: (jobId: string) => Promise<void>;
  /** Calls `onEnd` when an event says that the job has ended, from the moment it resolves; returns how to stop. */
  readonly onJobEnd: (job: JobRecord, onEnd: () => void) => Promise<() => void>;
  /** Aborts when the process is about to end: whoever waits is then answered with the job as it is. */
  readonly draining?: AbortSignal;
  /** Seconds until the demand of a currency has been served. */
  readonly forecast: (currency: string) => Promise<number | null>;
}

/** The count of open rows is read at most this often (ms); submissions of this process in between are added to it. */
const backlogAgeMs = 1_000;

/** Events may be lost with Redis; the row is the truth and is looked at this often (ms) while somebody waits. */
const lookAtRowMs = 1_000;

/** A forecast is shared by all who ask within this time (ms): it is an estimate in whole seconds. */
const forecastAgeMs = 250;
const maxForecasts = 100;

/** Builds the {@link JobDesk} over Postgres and the queues. */
export function createJobDesk(deps: JobDeskDeps): JobDesk {
  return new PostgresJobDesk(deps);
}

class PostgresJobDesk implements JobDesk {
  readonly #deps: JobDeskDeps;
  readonly #userBacklog: UserBacklog;
  readonly #portfolioBacklog: PortfolioBacklog;
  #backlog = 0;
  #backlogReadAt = 0;
  readonly #forecasts = new Map<string, { askedAt: number; answer: Promise<number | null> }>();

  constructor(deps: JobDeskDeps) {
    this.#deps = deps;
    const { jobs, clock, backlogPerUser: limit, portfolioJobsPerUser } = deps;
    this.#userBacklog = createUserBacklog({ count: (userId) => jobs.countOpenOfUser(userId), clock, limit });
    this.#portfolioBacklog = createPortfolioBacklog({
      count: (userId) => jobs.countOpenOfNames(userId, portfolioJobNames),
      limit: portfolioJobsPerUser,
    });
    // Everybody who waits listens to it: thousands are no leak.
    if (deps.draining !== undefined) setMaxListeners(0, deps.draining);
  }

  async submit<N extends ClientJobName>(request: SubmitRequest<N>): Promise<JobRecord> {
    const workKey = workKeyOf(request.name, request.submission);
    await orUnavailable(this.#refuseAtLimit());
    const place = await this.#placeOf(request);
    const row = await this.#store(request, workKey).finally(place.settle);
    if (row === undefined) return await this.#existing(request);
    this.#backlog++;
    this.#deps.onAccepted(request);
    await this.#enqueue(request, workKey, place.ahead);
    return row;
  }

  /** Where it stands among the user's jobs on portfolios. */
  async #placeOf({ name, userId }: SubmitRequest): Promise<PortfolioPlace> {
    return isPortfolioJob(name) ? await orUnavailable(this.#portfolioBacklog.take(userId)) : anyPlace;
  }

  /** The row; undefined when its idempotency key is taken. */
  async #store(request: SubmitRequest, workKey: string): Promise<JobRecord | undefined> {
    const { userId, keyId, name, submission, total, resolved, callbackUrl, idempotency } = request;
    const giveBack = await orUnavailable(this.#userBacklog.take(userId));
    const resolvedJson = resolved && JSON.stringify(resolved);
    const job = {
      id: uuidv7(),
      userId,
      keyId,
      name,
      workKey,
      submission,
      total,
      resolvedJson,
      callbackUrl,
      idempotency,
    };
    let row: JobRecord | undefined;
    try {
      row = await orUnavailable(orUnknownUser(this.#deps.jobs.insert(job)));
      return row;
    } finally {
      if (row === undefined) giveBack();
    }
  }

  async sameWork<N extends ClientJobName>(
    userId: string,
    name: N,
    submission: Submission<N>,
  ): Promise<JobRecord | undefined> {
    const { jobs } = this.#deps;
    const id = await orUnavailable(jobs.findByWork(userId, workKeyOf(name, submission)));
    return id === undefined ? undefined : await orUnavailable(jobs.find(id));
  }

  async get(id: string, viewer: Viewer): Promise<JobRecord> {
    const job = isUuid(id) ? await orUnavailable(this.#deps.jobs.find(id)) : undefined;
    if (job === undefined || (job.userId !== viewer.userId && viewer.role !== 'admin')) {
      throw new NotFoundError('There is no such job', 'job_not_found');
    }
    return job;
  }

  async list({ page, ...asked }: Parameters<JobDesk['list']>[0]): Promise<JobPage> {
    return await orUnavailable(this.#deps.jobs.list({ ...asked, offset: (page - 1) * asked.limit }));
  }

  async cancel(id: string, viewer: Viewer): Promise<JobRecord> {
    const job = await this.get(id, viewer);
    if (isFinal(job.state)) return job;
    const cancelled = await orUnavailable(this.#deps.jobs.cancel(id));
    if (cancelled === undefined) return await this.get(id, viewer);
    await this.#tell(() => this.#deps.announceCancel(id));
    if ((await orUnavailable(this.#deps.jobs.countOpen(job.workKey))) === 0)
      await this.#tell(() => this.#deps.abandon(job.workKey));
    return cancelled;
  }

  async waitForEnd(job: JobRecord, waitMs: number, signal?: AbortSignal): Promise<JobRecord> {
    const deadline = this.#deps.clock.now() + waitMs;
    const viewer: Viewer = { userId: job.userId, role: 'user' };
    const bell = createBell();
    const stop = await this.#deps.onJobEnd(job, bell.ring);
    const signals = [signal, this.#deps.draining].filter((each) => each !== undefined);
    for (const each of signals) each.addEventListener('abort', bell.ring, { once: true });
    try {
      for (;;) {
        const current = await this.get(job.id, viewer);
        const left = deadline - this.#deps.clock.now();
        if (isFinal(current.state) || left <= 0 || signals.some(({ aborted }) => aborted)) return current;
        await bell.wait(Math.min(left, lookAtRowMs));
      }
    } finally {
      stop();
      for (const each of signals) each.removeEventListener('abort', bell.ring);
    }
  }

  async etaSeconds(job: JobRecord): Promise<number | null> {
    if (isFinal(job.state)) return null;
    const now = this.#deps.clock.now();
    let held = this.#forecasts.get(job.currency);
    if (held === undefined || now - held.askedAt > forecastAgeMs) {
      if (this.#forecasts.size >= maxForecasts) this.#forecasts.clear();
      held = { askedAt: now, answer: this.#deps.forecast(job.currency) };
      this.#forecasts.set(job.currency, held);
    }
    return await held.answer;
  }

  async #existing<N extends ClientJobName>({ userId, idempotency }: SubmitRequest<N>): Promise<JobRecord> {
    if (idempotency === undefined) throw new UnavailableError('The job could not be stored');
    const { route, key, bodyHash } = idempotency;
    const found = await orUnavailable(this.#deps.jobs.findByIdempotencyKey(userId, route, key));
    if (found === undefined) throw new UnavailableError('The job could not be stored');
    if (found.bodyHash !== bodyHash) throw new IdempotencyMismatchError();
    return found.job;
  }

  async #refuseAtLimit(): Promise<void> {
    const now = this.#deps.clock.now();
    if (now - this.#backlogReadAt > backlogAgeMs) {
      this.#backlogReadAt = now;
      this.#backlog = await this.#deps.jobs.countBacklog();
    }
    if (this.#backlog < this.#deps.backlogLimit) return;
    throw new UnavailableError('Too many jobs are waiting', { code: 'backlog_full', retryAfterSeconds: 10 });
  }

  async #enqueue<N extends ClientJobName>(
    request: SubmitRequest<N>,
    workKey: string,
    ahead: number,
  ): Promise<void> {
    const { name, submission, total } = request;
    try {
      await enqueueWork(this.#deps.queues, { name, workKey, requester: request, submission, total, ahead });
    } catch (error) {
      // Accepted all the same: the reconciler adds it.
      this.#deps.log.warn({ workKey, reason: messageOf(error) }, 'a job could not be added yet');
    }
  }

  /** Announcements are a courtesy: without Redis the row still says what happened. */
  async #tell(announce: () => Promise<void>): Promise<void> {
    try {
      await announce();
    } catch (error) {
      this.#deps.log.warn({ reason: messageOf(error) }, 'an announcement was lost');
    }
  }
}

/** A token outlives its account: the row then refers to nobody. */
async function orUnknownUser<T>(insert: Promise<T>): Promise<T> {
  try {
    return await insert;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === foreignKeyViolation)) throw error;
    throw new UnauthenticatedError('This account does not exist any more', 'token_invalid');
  }
}

/** Of a job that is on no portfolio: it has no place to give back. */
const anyPlace: PortfolioPlace = { ahead: 0, settle: () => undefined };

const foreignKeyViolation = '23503';
