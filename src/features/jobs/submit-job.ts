/**
 * Submission of a job by a route. Accepted means 202 with a job to poll; a client that would rather wait uses `timeout` or
 * `Prefer: wait`, and gets the result itself if it is ready in time, and otherwise the usual 202.
 */
import { z } from 'zod';
import type { Principal } from '../../domain/principal.ts';
import type { ClientJobName } from '../../../jobs/registry.ts';
import { isFinal, type JobRecord } from '../../domain/job.ts';
import { jobJson, jobLinks, resultJsonOf } from '../../domain/job-text.ts';
import { AppError, ConflictError } from '../../domain/errors.ts';
import type { ClientJobs, JobService, SubmitRequest } from './job-service.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Metrics } from '../../platform/observability/metrics-registry.ts';
import type { WebhookService } from '../webhooks/webhook-service.ts';
import { idempotencyOf, maxWaitSeconds, preferredWaitSeconds } from '../../platform/http/preferences.ts';
import { respondJson, envelopeOf } from '../../platform/http/envelope.ts';

const timeoutRule = `must be a number of seconds from 1 to ${maxWaitSeconds}`;

/** How long a submission waits for its result, in seconds. */
export const timeout = z
  .number({ error: timeoutRule })
  .min(1, timeoutRule)
  .max(maxWaitSeconds, timeoutRule)
  .optional()
  .meta({ description: 'Seconds to wait for the result, 1 to 60; absent: respond with 202 at once' });

/** What submitting needs of the API. */
export interface SubmitDeps {
  readonly jobs: Pick<JobService, 'clientJobs'>;
  readonly metrics: Pick<Metrics, 'jobSubmitted'>;
  readonly webhooks: { readonly targets: Pick<WebhookService['targets'], 'checked'> };
}

/** Headers and responses of every route that submits a job, for the API description. */
export const submissionDescribed = {
  headers: {
    'Idempotency-Key':
      'A key of your choice, 1 to 255 visible ASCII characters, that makes it safe to send the request again: the same key and body (ignoring timeout) return the same job, and the same key with another body is refused (422)',
    Prefer: 'wait=n waits up to n seconds (at most 60) for the result, like the field timeout',
  },
  responses: {
    200: 'The result: you asked to wait, and the job completed in time',
    202: 'The job was accepted: poll it at Location, or follow its events at links.events',
    409: 'The job was cancelled while you waited',
    422: 'A field is missing or not valid, or the job failed because of its input while you waited',
    502: 'The job failed while you waited, and not because of its input',
    503: 'Database unavailable, or too many jobs are waiting: nothing was accepted; retry after Retry-After seconds',
  },
} as const;

/**
 * Submits a job and answers the request.
 * @throws {AppError} the errors of the job service; with `Prefer: wait`, also if the job failed or was cancelled.
 */
export async function submitJob<N extends ClientJobName>(
  ctx: ApiContext,
  { jobs: { clientJobs }, metrics, webhooks }: SubmitDeps,
  {
    viewer,
    route: name,
    body,
    request,
    onAccepted,
  }: {
    readonly viewer: Principal;
    /** The route in the idempotency record; includes the ids of the path if the request depends on them. */
    readonly route: string;
    readonly body: { readonly timeout?: number | undefined; readonly callback_url?: string | undefined };
    readonly request: Pick<SubmitRequest<N>, 'name' | 'submission' | 'total' | 'resolved'>;
    /** Called with the job before the response: with an idempotency key it may be an earlier one. Must not throw. */
    readonly onAccepted?: (job: JobRecord) => void;
  },
): Promise<void> {
  // How long a client waits is not part of the request: a repetition may wait longer.
  const { timeout, ...requested } = body;
  const { callback_url: callback } = requested;
  const callbackUrl = callback === undefined ? undefined : webhooks.targets.checked(callback, 'callback_url');
  const idempotency = idempotencyOf(ctx.req.headers['idempotency-key'], name, requested);
  const preferred = preferredWaitSeconds(ctx.req.headers.prefer);
  const waitSeconds = timeout ?? preferred;
  const accepted = await clientJobs.submit({
    ...request,
    userId: viewer.userId,
    keyId: viewer.keyId,
    callbackUrl,
    idempotency,
  });
  metrics.jobSubmitted(request.name);
  onAccepted?.(accepted);

  ctx.set('Location', jobLinks(accepted.id).self);
  ctx.vary('Prefer');
  if (preferred !== undefined && timeout === undefined) ctx.set('Preference-Applied', `wait=${preferred}`);
  if (waitSeconds === undefined) return respondAccepted(ctx, clientJobs, accepted);
  const job = await waitForEnd(ctx, clientJobs, { accepted, waitSeconds, viewer });
  if (isFinal(job.state)) respondEnded(ctx, job);
  else await respondAccepted(ctx, clientJobs, job);
}

/**
 * Waits until the job has ended, the time is up, or the client has disconnected; returns the job as it is then, with its
 * result.
 */
export async function waitForEnd(
  ctx: ApiContext,
  clientJobs: ClientJobs,
  wait: { readonly accepted: JobRecord; readonly waitSeconds: number; readonly viewer: Principal },
): Promise<JobRecord> {
  const gone = new AbortController();
  const leave = (): void => gone.abort(new Error('the client disconnected'));
  ctx.res.once('close', leave);
  try {
    const job = await clientJobs.waitForEnd(wait.accepted, wait.waitSeconds * 1000, gone.signal);
    const isWhole = job.state !== 'completed' || job.resultJson !== null;
    return isWhole ? job : await clientJobs.get(job.id, wait.viewer);
  } finally {
    ctx.res.off('close', leave);
  }
}

/** 202 with the job, and the time after which to poll. */
export async function respondAccepted(
  ctx: ApiContext,
  clientJobs: ClientJobs,
  job: JobRecord,
): Promise<void> {
  const etaSeconds = isFinal(job.state) ? null : await clientJobs.etaSeconds(job);
  ctx.set('Retry-After', String(pollAfterSeconds(job, etaSeconds) ?? 0));
  respondJson(ctx, 202, envelopeOf('Job accepted', jobJson(job, etaSeconds)));
}

/**
 * A client that waits wants the result, so a job without one is an error to it. The job itself can still be read at Location.
 */
function respondEnded(ctx: ApiContext, job: JobRecord): void {
  confirmCompleted(job);
  respondJson(ctx, 200, envelopeOf('Done', resultJsonOf(job)));
}

/**
 * Throws unless an ended job has a result.
 * @throws {ConflictError} (`job_cancelled`) it was cancelled. @throws {AppError} with the job's own error: it failed because of
 * the request (422) or by our own fault (502).
 */
export function confirmCompleted(job: JobRecord): void {
  if (job.state === 'cancelled') throw new ConflictError('The job was cancelled', 'job_cancelled');
  if (job.state === 'failed') {
    const { code, message } = job.error ?? { code: 'job_failed', message: 'The job failed' };
    const { errorStatus } = job;
    const isOfInput = errorStatus != null && errorStatus >= 400 && errorStatus < 500;
    throw new AppError(message, { code, status: isOfInput ? 422 : 502 });
  }
}

/** Seconds after which polling again makes sense, 1 to 60; undefined when the job has ended. */
export function pollAfterSeconds(job: JobRecord, etaSeconds: number | null): number | undefined {
  if (isFinal(job.state)) return undefined;
  return Math.min(60, Math.max(1, Math.ceil(etaSeconds ?? 1)));
}
