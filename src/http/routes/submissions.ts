/**
 * Routes that make jobs. Accepted means 202 with a job to poll; a client that would rather wait says so by `timeout` or
 * `Prefer: wait`, and gets the result itself if it is there in time, and the 202 of an ordinary submission if it is not.
 */
import type { Principal } from '../../auth/principal.ts';
import type { ClientJobName } from '../../../jobs/registry.ts';
import { isFinal, type JobRecord } from '../../domain/job.ts';
import { AppError, ConflictError } from '../../lib/errors.ts';
import type { SubmitRequest } from '../../queue/job-desk.ts';
import type { ApiContext } from '../context.ts';
import type { AppDeps } from '../deps.ts';
import { idempotencyOf, preferredWaitSeconds } from '../preferences.ts';
import { answerJson, envelopeOf } from '../present/envelope.ts';
import { jobJson, jobLinks, pollAfterSeconds, resultJsonOf } from '../present/job.ts';
import { resolveSymbols } from '../resolve-symbols.ts';
import { route, type Route } from '../route.ts';
import { bulkBody, portfolioBody } from '../schemas/prices.ts';

type SubmissionDeps = Pick<AppDeps, 'jobDesk' | 'metrics' | 'assets'>;

interface Submitted<N extends ClientJobName> {
  readonly viewer: Principal;
  /** As it stands in the idempotency record. */
  readonly route: string;
  readonly body: { readonly timeout?: number | undefined };
  readonly request: Pick<SubmitRequest<N>, 'name' | 'submission' | 'total' | 'resolved'>;
}

const described = {
  headers: {
    'Idempotency-Key':
      '1 to 255 visible ASCII characters: the same key and body (timeout aside) give the same job, another body is refused',
    Prefer: 'wait=n waits n seconds (60 at most) for the result',
  },
  answers: {
    200: 'The result, when the client waits and it is done in time',
    202: 'The job was accepted; poll it at Location or follow its events',
    409: 'The job was cancelled while the client waited',
    502: 'The job failed while the client waited',
    503: 'The database is away or too many jobs are waiting; nothing was accepted, see Retry-After',
  },
} as const;

/** `POST /crypto/bulk` and `POST /crypto/portfolio`. */
export function submissionRoutes(deps: SubmissionDeps): Route[] {
  return [bulkRoute(deps), portfolioRoute(deps)];
}

function bulkRoute(deps: SubmissionDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/bulk',
    access: 'user',
    scope: 'jobs:write',
    tag: 'Prices',
    summary: 'Fetch the quotes of many coins as a job',
    description:
      'Coins by id, by symbol, or both. A symbol stands for the largest coin by market capitalisation that has it: `resolved` ' +
      'in job and result shows the choice. An unknown symbol is an error in `resolved`, and 422 when nothing is left to fetch.',
    body: bulkBody,
    ...described,
    handler: async (ctx, { body, viewer }) => {
      // The assets are the work: whoever names them otherwise shares the run.
      const { assetIds, resolved } = resolveSymbols(deps.assets, body);
      const request = {
        name: 'bulk.fetch',
        submission: { currency: body.currency, assets: assetIds },
        total: assetIds.length,
        resolved,
      } as const;
      await submit(ctx, deps, { viewer, route: 'POST /crypto/bulk', body, request });
    },
  });
}

function portfolioRoute(deps: SubmissionDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/portfolio',
    access: 'user',
    scope: 'jobs:write',
    tag: 'Prices',
    summary: 'Fetch the quotes of some holdings, and their value, as a job',
    description: 'With coins alone this is a bulk job; with holdings the result has a total_value.',
    body: portfolioBody,
    ...described,
    handler: async (ctx, { body, viewer }) => {
      const submitted = { viewer, route: 'POST /crypto/portfolio', body };
      const { coins, holdings, currency } = body;
      if (holdings === undefined) {
        const assets = coins ?? [];
        const request = {
          name: 'bulk.fetch',
          submission: { currency, assets },
          total: assets.length,
        } as const;
        return submit(ctx, deps, { ...submitted, request });
      }
      const rows = holdings.map(({ coin, quantity }) => ({ asset: coin, quantity }));
      const total = new Set(rows.map(({ asset }) => asset)).size;
      const request = { name: 'portfolio.fetch', submission: { currency, holdings: rows }, total } as const;
      return submit(ctx, deps, { ...submitted, request });
    },
  });
}

async function submit<N extends ClientJobName>(
  ctx: ApiContext,
  { jobDesk, metrics }: SubmissionDeps,
  { viewer, route: name, body, request }: Submitted<N>,
): Promise<void> {
  // How long a client waits is no part of what it asks for: a repetition may wait longer.
  const { timeout, ...asked } = body;
  const idempotency = idempotencyOf(ctx.req.headers['idempotency-key'], name, asked);
  const preferred = preferredWaitSeconds(ctx.req.headers.prefer);
  const waitSeconds = timeout ?? preferred;
  const accepted = await jobDesk.submit({
    ...request,
    userId: viewer.userId,
    keyId: viewer.keyId,
    idempotency,
  });
  metrics.jobSubmitted(request.name);

  ctx.set('Location', jobLinks(accepted.id).self);
  ctx.vary('Prefer');
  if (preferred !== undefined && timeout === undefined) ctx.set('Preference-Applied', `wait=${preferred}`);
  if (waitSeconds === undefined) return answerAccepted(ctx, jobDesk, accepted);
  const job = await waitForEnd(ctx, jobDesk, { accepted, waitSeconds, viewer });
  if (isFinal(job.state)) answerEnded(ctx, job);
  else await answerAccepted(ctx, jobDesk, job);
}

interface Wait {
  readonly accepted: JobRecord;
  readonly waitSeconds: number;
  readonly viewer: Principal;
}

async function waitForEnd(
  ctx: ApiContext,
  jobDesk: SubmissionDeps['jobDesk'],
  wait: Wait,
): Promise<JobRecord> {
  const gone = new AbortController();
  const leave = (): void => gone.abort(new Error('the client went away'));
  ctx.res.once('close', leave);
  try {
    const job = await jobDesk.waitForEnd(wait.accepted, wait.waitSeconds * 1000, gone.signal);
    const isWhole = job.state !== 'completed' || job.resultJson !== null;
    return isWhole ? job : await jobDesk.get(job.id, wait.viewer);
  } finally {
    ctx.res.off('close', leave);
  }
}

async function answerAccepted(
  ctx: ApiContext,
  jobDesk: SubmissionDeps['jobDesk'],
  job: JobRecord,
): Promise<void> {
  const etaSeconds = isFinal(job.state) ? null : await jobDesk.etaSeconds(job);
  ctx.set('Retry-After', String(pollAfterSeconds(job, etaSeconds) ?? 0));
  answerJson(ctx, 202, envelopeOf('Job accepted', jobJson(job, etaSeconds)));
}

/** A client that waits wants the result: a job that has none is an error to it. The job itself stays readable at Location. */
function answerEnded(ctx: ApiContext, job: JobRecord): void {
  if (job.state === 'cancelled') throw new ConflictError('The job was cancelled', 'job_cancelled');
  if (job.state === 'failed') {
    const { code, message } = job.error ?? { code: 'job_failed', message: 'The job failed' };
    throw new AppError(message, { code, status: 502 });
  }
  answerJson(ctx, 200, envelopeOf('Done', resultJsonOf(job)));
}
