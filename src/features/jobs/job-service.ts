/** Client jobs: submitting, reading, cancelling and waiting for them. */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { v7 as uuidv7, validate as isUuid } from 'uuid';
import {
  isPortfolioJob,
  portfolioJobNames,
  type ClientJobName,
  type JobData,
} from '../../../jobs/registry.ts';
import { orUnavailable } from '../../../db/outage.ts';
import {
  IdempotencyMismatchError,
  messageOf,
  NotFoundError,
  UnauthenticatedError,
  UnavailableError,
} from '../../domain/errors.ts';
import {
  isFinal,
  type JobRecord,
  type JobState,
  type ResolvedSymbol,
  type Viewer,
} from '../../domain/job.ts';
import type { Requester } from '../../domain/requester.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Queues } from '../../platform/queue/queues.ts';
import { allowed } from '../../platform/http/admission.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { AccountService } from '../accounts/account-service.ts';
import type { WebhookService } from '../webhooks/webhook-service.ts';
import { createPortfolioBacklog, createUserBacklog } from './backlogs.ts';
import { createControlChannel } from './control-channel.ts';
import { enqueueWork } from './enqueue-work.ts';
import { etaSeconds } from './eta.ts';
import { createJobEventReader } from './job-event-reader.ts';
import { createJobEventLog, isLastEvent, jobSubject, workSubject } from './job-events.ts';
import { jobFollowedBy, seeJobs } from './job-rights.ts';
import { createJobStreams } from './job-streams.ts';
import { createJobQueries, type JobQueries } from './queries/jobs.ts';

/** Data of a client job without what the service adds. */
export type Submission<N extends ClientJobName> = Omit<JobData<N>, 'workKey' | 'requester'>;

export interface SubmitRequest<N extends ClientJobName = ClientJobName> {
  readonly userId: string;
  /** The API key of the submission. */
  readonly keyId?: string | undefined;
  readonly name: N;
  readonly submission: Submission<N>;
  /** Number of assets whose settling counts as progress. */
  readonly total: number;
  /** The assets that the symbols of the request were resolved to: shown with the job, but not part of its work. */
  readonly resolved?: readonly ResolvedSymbol[] | undefined;
  /** URL that is notified when the job ends; not part of its work. */
  readonly callbackUrl?: string | undefined;
  /** From the `Idempotency-Key` header. */
  readonly idempotency?:
    { readonly key: string; readonly route: string; readonly bodyHash: string } | undefined;
}

/** The operations with which handlers submit, read and cancel client jobs. Accepted means: the row is committed in Postgres. */
export interface ClientJobs {
  /**
   * Stores the job and adds it to its queue. Once stored, it will end, whether or not the add reached Redis. With a known
   * idempotency key and the same body, the existing job is returned.
   * @throws {IdempotencyMismatchError} same key, other body.
   * @throws {RateLimitedError} the user has too many unfinished jobs, or too many on portfolios.
   * @throws {UnavailableError} Postgres is down or the backlog is full; nothing was accepted.
   */
  submit<N extends ClientJobName>(request: SubmitRequest<N>): Promise<JobRecord>;
  /**
   * The user's own job of the same work: a completed one whose result is stored (only for computed performance), else an
   * unfinished one. Undefined when there is none.
   */
  sameWork<N extends ClientJobName>(
    userId: string,
    name: N,
    submission: Submission<N>,
  ): Promise<JobRecord | undefined>;
  /** @throws {NotFoundError} it does not exist or is not the viewer's. */
  get(id: string, viewer: Viewer): Promise<JobRecord>;
  /** Jobs of one user, the newest first, without results; of all names or of some. `page` counts from 1. */
  list(request: {
    userId: string;
    page: number;
    limit: number;
    state?: JobState | undefined;
    names?: readonly ClientJobName[] | undefined;
  }): Promise<{ readonly jobs: readonly JobRecord[]; readonly total: number }>;
  /**
   * Cancels an unfinished job; one that has ended is returned unchanged. Other jobs that share its run are not cancelled.
   * @throws {NotFoundError} it does not exist or is not the viewer's.
   */
  cancel(id: string, viewer: Viewer): Promise<JobRecord>;
  /** Waits until the job has ended, `waitMs` at most, and returns its state at that time. */
  waitForEnd(job: JobRecord, waitMs: number, signal?: AbortSignal): Promise<JobRecord>;
  /** Seconds until the job is expected to end, from the demand ahead of it and the budget; null when not known. */
  etaSeconds(job: JobRecord): Promise<number | null>;
}

/** Longest wait (ms) for the event reader before a job's row is read. */
const subscribeDeadlineMs = 500;
/** Longest wait (ms) for the inputs of a forecast. */
const forecastDeadlineMs = 300;
/** With more waiting jobs than this, a forecast is useless. */
const forecastableJobs = 100;
/** Assets that one upstream call fetches; for forecasts. */
const assetsPerCall = 250;

export type JobService = ReturnType<typeof createJobService>;

/** Opens the job service of API processes. Workers run the jobs (workers/processors/jobs). */
export function createJobService(
  platform: Platform,
  {
    access: { usage },
    webhooks,
    realtime,
    wantedAssets,
    budget,
  }: {
    readonly access: Pick<AccountService, 'usage'>;
    /** Sends webhooks when jobs end. */
    readonly webhooks: Pick<WebhookService, 'enqueueAttempts'>;
    readonly realtime: Pick<Realtime, 'open' | 'registerTopic'>;
    /** Number of assets of a currency that wait for an upstream call. */
    readonly wantedAssets: (currency: string) => Promise<number>;
    /** The state of the upstream budget. */
    readonly budget: () => Promise<Parameters<typeof etaSeconds>[2]>;
  },
) {
  const { config, log, clock, shutdown, knex, redis, subscriber, keys, queues } = platform;
  const jobs = createJobQueries(knex, (ids) => void webhooks.enqueueAttempts(ids));
  const eventLog = createJobEventLog(redis, keys.jobEvents);
  const control = createControlChannel({ redis, subscriber, channel: keys.control });
  const reader = createJobEventReader({
    blocking: platform.openRedis('blocking', 'job-events'),
    redis,
    streamKey: keys.jobEvents,
    epochKey: keys.jobEventsEpoch,
    log,
  });
  shutdown.add('queues', 'job events', () => reader.close());
  const draining = new AbortController();
  shutdown.add('announce', 'waiting clients', () => draining.abort());

  const clientJobs = createClientJobs({
    draining: draining.signal,
    jobs,
    queues,
    clock,
    log,
    backlogLimit: config.JOB_BACKLOG_LIMIT,
    backlogPerUser: config.JOB_BACKLOG_PER_USER,
    portfolioJobsPerUser: config.PORTFOLIO_JOBS_PER_USER,
    onAccepted: (who) => usage.job(who),
    abandon: (workKey) => control.publish({ abandon: workKey }),
    announceCancel: (jobId) =>
      eventLog.append(jobSubject(jobId), [
        { type: 'job.cancelled', data: { state: 'cancelled' }, jobs: [jobId] },
      ]),
    async onJobEnd(job, onEnd) {
      const subscription = reader.subscribe([workSubject(job.workKey), jobSubject(job.id)], (entry) => {
        if (entry.events.some(({ type }) => isLastEvent(type))) onEnd();
      });
      // Without Redis there are no events, but the row is polled all the same.
      await withDeadline(subscription.ready, subscribeDeadlineMs, 'subscribing').catch(() => undefined);
      return () => subscription.close();
    },
    async forecast(currency) {
      const requested = Promise.all([wantedAssets(currency), budget(), queues.counts('requests')]);
      // Without Redis there is no forecast, but the job is accepted all the same.
      const answer = await withDeadline(requested, forecastDeadlineMs, 'a forecast').catch(() => undefined);
      if (answer === undefined) return null;
      const [wanted, allowed, { waiting = 0, prioritized = 0 }] = answer;
      // The demand of jobs that have not started yet is not known.
      return waiting + prioritized > forecastableJobs ? null : etaSeconds(wanted, assetsPerCall, allowed);
    },
  });
  const streams = createJobStreams({
    realtime,
    reader,
    clock,
    log,
    findEnded: (ids) => jobs.findEnded(ids),
    async findJob(viewer, id) {
      allowed(viewer, { access: 'user', scope: seeJobs });
      return await jobFollowedBy(viewer, clientJobs, id);
    },
  });
  shutdown.add('accept', 'rows of followed jobs', () => streams.close());
  return {
    clientJobs,
    /** Streams of job events. */
    streams,
    /** Number of jobs by their state. @throws {UnavailableError} Postgres does not answer. */
    countByState: () => jobs.countByState(),
  };
}

/** Requests for the same work have the same key, from any user: they share one run. */
export function workKeyOf<N extends ClientJobName>(name: N, submission: Submission<N>): string {
  return createHash('sha256')
    .update(`${name}\n${JSON.stringify(submission)}`)
    .digest('base64url');
}

/**
 * The order of a submission makes it safe: first the row is committed, then the job is added. After the commit the response is
 * 202; if the add fails, or Redis forgets it, the reconciler adds it again from the row.
 */
interface ClientJobsDeps {
  readonly jobs: JobQueries;
  readonly queues: Queues;
  readonly clock: Clock;
  readonly log: Logger;
  readonly backlogLimit: number;
  /** Unfinished jobs that one user may have. */
  readonly backlogPerUser: number;
  /** Unfinished jobs on portfolios that one user may have. */
  readonly portfolioJobsPerUser: number;
  /** Called for every accepted job, except for repetitions by an idempotency key. Must not throw. */
  readonly onAccepted: (who: Requester) => void;
  /** Tells workers that nobody waits for a run any more. */
  readonly abandon: (workKey: string) => Promise<void>;
  /** Tells streams that one job was cancelled. */
  readonly announceCancel: (jobId: string) => Promise<void>;
  /**
   * Calls `onEnd` when an event says that the job has ended, from the moment it resolves; returns a function that stops this.
   */
  readonly onJobEnd: (job: JobRecord, onEnd: () => void) => Promise<() => void>;
  /** Aborts when the process is about to end; waiting requests are then answered with the job as it is. */
  readonly draining?: AbortSignal;
  /** Seconds until the demand of a currency has been served. */
  readonly forecast: (currency: string) => Promise<number | null>;
}

/** The count of open rows is read at most this often (ms); submissions of this process in between are added to it. */
const backlogAgeMs = 1_000;

/** Events may be lost with Redis, so while somebody waits the row is polled this often (ms). */
const rowPollIntervalMs = 1_000;

/** A forecast is shared by all callers within this time (ms): it is an estimate in whole seconds. */
const forecastAgeMs = 250;
const maxForecasts = 100;

/** Builds the {@link ClientJobs} over Postgres and the queues. */
export function createClientJobs(deps: ClientJobsDeps): ClientJobs {
  return new PostgresClientJobs(deps);
}

class PostgresClientJobs implements ClientJobs {
  readonly #deps: ClientJobsDeps;
  readonly #userBacklog: ReturnType<typeof createUserBacklog>;
  readonly #portfolioBacklog: ReturnType<typeof createPortfolioBacklog>;
  #backlog = 0;
  #backlogReadAt = 0;
  readonly #forecasts = new Map<string, { requestedAt: number; answer: Promise<number | null> }>();

  constructor(deps: ClientJobsDeps) {
    this.#deps = deps;
    const { jobs, clock, backlogPerUser: limit, portfolioJobsPerUser } = deps;
    this.#userBacklog = createUserBacklog({ count: (userId) => jobs.countOpenOfUser(userId), clock, limit });
    this.#portfolioBacklog = createPortfolioBacklog({
      count: (userId) => jobs.countOpenOfNames(userId, portfolioJobNames),
      limit: portfolioJobsPerUser,
    });
    // Every waiting request listens to it: thousands are not a leak.
    if (deps.draining !== undefined) setMaxListeners(0, deps.draining);
  }

  async submit<N extends ClientJobName>(request: SubmitRequest<N>): Promise<JobRecord> {
    const workKey = workKeyOf(request.name, request.submission);
    await orUnavailable(this.#refuseAtLimit());
    // The position among the user's jobs on portfolios; other jobs reserve nothing.
    const place = isPortfolioJob(request.name)
      ? await orUnavailable(this.#portfolioBacklog.take(request.userId))
      : { ahead: 0, settle: () => undefined };
    const row = await this.#store(request, workKey).finally(place.settle);
    if (row === undefined) return await this.#existing(request);
    this.#backlog++;
    this.#deps.onAccepted(request);
    await this.#enqueue(request, workKey, place.ahead);
    return row;
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
      throw new NotFoundError('Job not found', 'job_not_found');
    }
    return job;
  }

  async list({ page, ...requested }: Parameters<ClientJobs['list']>[0]) {
    return await orUnavailable(this.#deps.jobs.list({ ...requested, offset: (page - 1) * requested.limit }));
  }

  async cancel(id: string, viewer: Viewer): Promise<JobRecord> {
    const job = await this.get(id, viewer);
    if (isFinal(job.state)) return job;
    const cancelled = await orUnavailable(this.#deps.jobs.cancel(id));
    if (cancelled === undefined) return await this.get(id, viewer);
    await this.#bestEffort(() => this.#deps.announceCancel(id));
    if ((await orUnavailable(this.#deps.jobs.countOpen(job.workKey))) === 0)
      await this.#bestEffort(() => this.#deps.abandon(job.workKey));
    return cancelled;
  }

  async waitForEnd(job: JobRecord, waitMs: number, signal?: AbortSignal): Promise<JobRecord> {
    const deadline = this.#deps.clock.now() + waitMs;
    const viewer: Viewer = { userId: job.userId, role: 'user' };
    const wakeSignal = createWakeSignal();
    const stop = await this.#deps.onJobEnd(job, wakeSignal.wake);
    const signals = [signal, this.#deps.draining].filter((each) => each !== undefined);
    for (const each of signals) each.addEventListener('abort', wakeSignal.wake, { once: true });
    try {
      for (;;) {
        const current = await this.get(job.id, viewer);
        const left = deadline - this.#deps.clock.now();
        if (isFinal(current.state) || left <= 0 || signals.some(({ aborted }) => aborted)) return current;
        await wakeSignal.wait(Math.min(left, rowPollIntervalMs));
      }
    } finally {
      stop();
      for (const each of signals) each.removeEventListener('abort', wakeSignal.wake);
    }
  }

  async etaSeconds(job: JobRecord): Promise<number | null> {
    if (isFinal(job.state)) return null;
    const now = this.#deps.clock.now();
    let held = this.#forecasts.get(job.currency);
    if (held === undefined || now - held.requestedAt > forecastAgeMs) {
      if (this.#forecasts.size >= maxForecasts) this.#forecasts.clear();
      held = { requestedAt: now, answer: this.#deps.forecast(job.currency) };
      this.#forecasts.set(job.currency, held);
    }
    return await held.answer;
  }

  async #existing<N extends ClientJobName>({ userId, idempotency }: SubmitRequest<N>): Promise<JobRecord> {
    if (idempotency === undefined) throw new UnavailableError('The job could not be stored; try again');
    const { route, key, bodyHash } = idempotency;
    const found = await orUnavailable(this.#deps.jobs.findByIdempotencyKey(userId, route, key));
    if (found === undefined) throw new UnavailableError('The job could not be stored; try again');
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
    throw new UnavailableError('Too many jobs are waiting on this server; try again later', {
      code: 'backlog_full',
      retryAfterSeconds: 10,
    });
  }

  async #enqueue(request: SubmitRequest, workKey: string, ahead: number): Promise<void> {
    const { name, submission, total } = request;
    try {
      await enqueueWork(this.#deps.queues, { name, workKey, requester: request, submission, total, ahead });
    } catch (error) {
      // Accepted all the same: the reconciler adds it.
      this.#deps.log.warn(
        { workKey, reason: messageOf(error) },
        'a job was accepted but not queued: Redis did not take it; a worker queues it again within seconds',
      );
    }
  }

  /** Publishing is best effort: without Redis the row still has the state. */
  async #bestEffort(announce: () => Promise<void>): Promise<void> {
    try {
      await announce();
    } catch (error) {
      this.#deps.log.warn(
        { reason: messageOf(error) },
        'a job event could not be published in Redis: open event streams miss it; the state of the job is stored',
      );
    }
  }
}

/** A token outlives its account: then the row refers to an unknown user. */
async function orUnknownUser<T>(insert: Promise<T>): Promise<T> {
  try {
    return await insert;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === foreignKeyViolation)) throw error;
    throw new UnauthenticatedError('This account no longer exists', 'token_invalid');
  }
}

const foreignKeyViolation = '23503';
