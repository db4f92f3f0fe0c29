import { isFinal, jobStates } from '../../domain/job.ts';
import { jobJson, presentJob } from '../../domain/job-text.ts';
import { cancelFor, cancelJobs, jobFollowedBy, jobSeenBy, namesSeenBy, seeJobs } from './job-rights.ts';
import type { ClientJobs, JobService } from './job-service.ts';
import { ifNoneMatchHeader, matchesTag } from '../../platform/http/if-match.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import { answer, respondJson, envelopeOf } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { pollAfterSeconds } from './submit-job.ts';
import { z } from 'zod';
import { NotFoundError } from '../../domain/errors.ts';
import { pageNumber, pageSize } from '../../platform/http/fields.ts';

/** Query of `GET /jobs`. */
const jobsQuery = z.strictObject({
  page: pageNumber,
  limit: pageSize({ usual: 20, max: 100 }),
  state: z.enum(jobStates).optional().meta({ description: 'Only jobs in this state' }),
});

/** Path of `/jobs/:id`. */
const jobPath = z.object({ id: z.string().meta({ description: 'Id of the job (UUID)' }) });

const uuid = z.uuid();

/**
 * The id in a job's path.
 * @throws {NotFoundError} it is not a UUID, so there is no such job.
 */
function jobIdOf({ id }: z.output<typeof jobPath>): string {
  if (!uuid.safeParse(id).success) throw new NotFoundError('Job not found', 'job_not_found');
  return id.toLowerCase();
}

interface JobDeps {
  readonly jobs: { readonly clientJobs: ClientJobs; readonly streams: Pick<JobService['streams'], 'open'> };
  readonly realtime: Pick<Realtime, 'hijack'>;
}

const tag = 'Jobs';
const missing = 'Job not found, or the API key lacks the scope for jobs of this kind';
const kinds =
  'For jobs on portfolios an API key needs `portfolio:read` (to cancel them: `portfolio:write`), for all others `jobs:write`.';
const unavailable = 'Database unavailable; retry after Retry-After seconds';

/** Routes to list, poll, cancel and follow jobs. */
export function jobRoutes(deps: JobDeps): Route[] {
  return [list(deps), poll(deps), cancel(deps), follow(deps)];
}

function list({ jobs: { clientJobs } }: JobDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/jobs',
    access: 'user',
    scope: seeJobs,
    tag,
    summary: 'List your jobs, newest first',
    description: kinds,
    query: jobsQuery,
    responses: { 200: 'A page of jobs, without results', 503: unavailable },
    handler: async (ctx, { query: { page, limit, state }, viewer }) => {
      const { userId } = viewer;
      const names = namesSeenBy(viewer);
      const { jobs, total } = await clientJobs.list({ userId, page, limit, state, names });
      const data = pageOf(jobs.map(presentJob), { total, page, limit });
      answer(ctx, { message: 'Jobs', data });
    },
  });
}

function poll({ jobs: { clientJobs } }: JobDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/jobs/:id',
    access: 'user',
    scope: seeJobs,
    tag,
    summary: 'Get a job, with its result once it has completed',
    params: jobPath,
    headers: ifNoneMatchHeader,
    responses: {
      200: 'The job; Retry-After while it runs',
      304: 'Not modified since the ETag in If-None-Match',
      404: missing,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer }) => {
      const job = await jobSeenBy(viewer, clientJobs, jobIdOf(params));
      const etaSeconds = isFinal(job.state) ? null : await clientJobs.etaSeconds(job);
      const retryAfter = pollAfterSeconds(job, etaSeconds);
      const jobTag = `"${job.version}"`;
      ctx.set('ETag', jobTag);
      ctx.set('Cache-Control', 'private, no-cache');
      if (retryAfter !== undefined) ctx.set('Retry-After', String(retryAfter));
      if (matchesTag(ctx.req.headers['if-none-match'], jobTag)) ctx.status = 304;
      else respondJson(ctx, 200, envelopeOf('Job', jobJson(job, etaSeconds)));
    },
  });
}

function cancel({ jobs: { clientJobs } }: JobDeps): Route {
  return route({
    method: 'DELETE',
    path: '/api/v1/jobs/:id',
    access: 'user',
    scope: cancelJobs,
    tag,
    summary: 'Cancel a job that has not ended',
    description:
      'The state becomes cancelled. A job that has ended already stays as it is; the response is 200 all the same.',
    params: jobPath,
    responses: { 200: 'The job after the request', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const job = await cancelFor(viewer, clientJobs, jobIdOf(params));
      const message = job.state === 'cancelled' ? 'Job cancelled' : 'The job had already ended';
      answer(ctx, { message, data: presentJob(job) });
    },
  });
}

function follow({ jobs: { clientJobs, streams }, realtime }: JobDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/jobs/:id/events',
    access: 'user',
    scope: seeJobs,
    takesTicket: true,
    tag,
    summary: 'Stream the events of a job (Server-Sent Events)',
    params: jobPath,
    headers: { 'Last-Event-ID': 'Id of the last event that you received; the stream continues after it' },
    responses: {
      200: 'The events hello, job.progress, job.coin (one quote), job.completed, job.failed, job.cancelled, heartbeat, reset (events were missed: read the job) and drain (the server restarts: reconnect)',
      204: 'The job has ended and you have received its last event; do not reconnect',
      404: missing,
      503: unavailable,
    },
    produces: 'text/event-stream',
    handler: async (ctx, { params, viewer }) => {
      const job = await jobFollowedBy(viewer, clientJobs, jobIdOf(params));
      if (ctx.method === 'HEAD') {
        ctx.status = 200;
        ctx.set('Content-Type', 'text/event-stream');
        return;
      }
      streams.open({ ...realtime.hijack(ctx), job });
    },
  });
}
