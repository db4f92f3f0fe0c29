/**
 * Performance of a portfolio, computed by a job. A recent result of the same work is returned at once, a running job is waited
 * for, and only otherwise is a new job submitted, within the limits on submissions.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { performanceSteps } from '../../../../jobs/registry.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import type { Config } from '../../../platform/config/load-config.ts';
import type { AssetDirectory } from '../../assets/asset-directory.ts';
import type { PortfolioService } from '../portfolio-service.ts';
import { ValidationError } from '../../../domain/errors.ts';
import { jobLinks, resultJsonOf } from '../../../domain/job-text.ts';
import { isFinal, type JobRecord } from '../../../domain/job.ts';
import { type PerformanceRange, performanceRanges } from '../../../domain/performance-range.ts';
import type { Principal } from '../../../domain/principal.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import { respondJson, envelopeOf } from '../../../platform/http/envelope.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import type { Submission } from '../../jobs/job-service.ts';
import { ifNoneMatchHeader, matchesTag } from '../../../platform/http/if-match.ts';
import { preferredWaitSeconds, prefersAsync } from '../../../platform/http/preferences.ts';
import {
  respondAccepted,
  confirmCompleted,
  submissionDescribed,
  type SubmitDeps,
  submitJob,
  waitForEnd,
  timeout,
} from '../../jobs/submit-job.ts';
import { assetIdField, type AssetIdReader } from '../../assets/schemas.ts';
import { callbackUrl } from '../../webhooks/schemas.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import { portfolioIdOf, portfolioPath } from '../schemas.ts';

const range = z
  .enum(performanceRanges, `must be one of ${performanceRanges.join(', ')}`)
  .default('max')
  .meta({ description: 'Range that ends today; ytd starts on 1 January, max at the first transaction' });

const benchmark = (assets: AssetIdReader) =>
  assetIdField(assets)
    .default('bitcoin')
    .meta({
      description: 'Asset to compare with, as if the same cash flows had been invested in it',
      examples: ['bitcoin'],
    });

const rateRule =
  'must be an annual rate from -1 to 10, such as 0.02 for 2 %, with at most 4 digits after the point';
const described = {
  description: 'Annual risk-free rate from -1 to 10 for the Sharpe and Sortino ratios: 0.02 is 2 %',
};
const isInRange = (rate: number): boolean => rate >= -1 && rate <= 10;
/** Finer rates add no information, and each of them would be a separate job. */
const hasFewDigits = (rate: number): boolean => Math.round(rate * 1e4) / 1e4 === rate;
/** -0 and 0 are the same rate; -0 would be a separate job. */
const withoutSign = (rate: number): number => rate + 0;

const rateInQuery = z
  .string()
  .regex(/^-?\d{1,2}(\.\d{1,4})?$/, rateRule)
  .transform(Number)
  .refine(isInRange, rateRule)
  .transform(withoutSign)
  .default(0)
  .meta({ ...described, examples: ['0.02'] });

const rateInBody = z
  .number({ error: rateRule })
  .refine((rate) => isInRange(rate) && hasFewDigits(rate), rateRule)
  .transform(withoutSign)
  .default(0)
  .meta({ ...described, examples: [0.02] });

/** Query of `GET /portfolios/:id/performance`. */
const performanceQuery = (assets: AssetIdReader) =>
  z.strictObject({
    range,
    benchmark: benchmark(assets),
    risk_free_rate: rateInQuery,
  });

/** Body of `POST /portfolios/:id/performance`. */
const performanceBody = (assets: AssetIdReader) =>
  z.strictObject({
    range,
    benchmark: benchmark(assets),
    risk_free_rate: rateInBody,
    timeout,
    callback_url: callbackUrl,
  });

type PerformanceDeps = SubmitDeps &
  Pick<PortfolioService, 'portfolios'> & {
    readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId' | 'idOf'>;
    readonly config: Pick<Config, 'READ_WAIT'>;
    readonly clock: Clock;
  };

const tag = 'Portfolios';
const path = '/api/v1/portfolios/:id/performance';
const name = 'performance.compute';
const missing = 'Portfolio not found';
const figures =
  'Each figure is a number, or null with a reason. A day without a price uses the last known price; `prices` counts such days.';

/** Prices within this time (ms) count as the same: a repeated request gets the earlier result. */
const asOfMs = 300_000;

/** Reading performance, and computing it as a job. */
export function performanceRoutes(deps: PerformanceDeps): Route[] {
  return [read(deps), submit(deps)];
}

function read(deps: PerformanceDeps): Route {
  return route({
    method: 'GET',
    path,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Get the performance of a portfolio over a range',
    description: `${figures} If the figures are not computed yet, the request waits a moment, then returns 202 with the job.`,
    params: portfolioPath,
    query: performanceQuery(deps.assets),
    headers: {
      ...ifNoneMatchHeader,
      Prefer:
        'For figures that are not computed yet: respond-async responds with 202 at once, wait=n waits up to n seconds (at most 60)',
    },
    responses: {
      200: 'The figures',
      202: 'The figures are being computed: ask again after Retry-After seconds, or poll the job at Location',
      304: 'Not modified since the ETag in If-None-Match',
      404: missing,
      409: 'The job was cancelled while you waited',
      422: 'A field is not valid, or the request asks for too many figures',
      502: 'The job failed while you waited',
      503: 'Database unavailable, or too many jobs are waiting; see Retry-After',
    },
    handler: async (ctx, { params, query, viewer }) => {
      const portfolio = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const submission = submissionOf(deps, portfolio, { ...query, prefix: 'query.' });
      const job = await jobOf(deps, viewer, submission);
      const ended = isFinal(job.state) ? job : await waited(ctx, deps, { job, viewer });
      if (isFinal(ended.state)) {
        respondStats(ctx, ended);
        return;
      }
      ctx.set('Location', jobLinks(ended.id).self);
      await respondAccepted(ctx, deps.jobs.clientJobs, ended);
    },
  });
}

function submit(deps: PerformanceDeps): Route {
  return route({
    method: 'POST',
    path,
    access: 'user',
    // It changes nothing, and its result contains the value of the portfolio.
    scope: 'portfolio:read',
    tag,
    summary: 'Compute the performance of a portfolio as a job',
    description: figures,
    params: portfolioPath,
    body: performanceBody(deps.assets),
    headers: submissionDescribed.headers,
    responses: { ...submissionDescribed.responses, 404: missing },
    handler: async (ctx, { params, body, viewer }) => {
      const portfolio = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const submission = submissionOf(deps, portfolio, { ...body, prefix: '' });
      await submitJob(ctx, deps, {
        viewer,
        route: `POST /portfolios/${portfolio.id}/performance`,
        body,
        request: { name, submission, total: performanceSteps },
      });
    },
  });
}

/** @throws {ValidationError} the benchmark does not exist. */
function submissionOf(
  { assets, clock }: PerformanceDeps,
  { id: portfolioId, baseCurrency: currency, booksVersion }: Portfolio,
  {
    range,
    benchmark,
    risk_free_rate: riskFreeRate,
    prefix,
  }: {
    readonly range: PerformanceRange;
    readonly benchmark: string;
    readonly risk_free_rate: number;
    /** Prefix of field names. */
    readonly prefix: string;
  },
): Submission<typeof name> {
  if (assets.isKnown() && assets.byId(benchmark) === undefined) {
    const field = `${prefix}benchmark`;
    throw new ValidationError('The request is not valid', [{ field, message: 'is not a known asset' }]);
  }
  const asOf = new Date(Math.floor(clock.now() / asOfMs) * asOfMs).toISOString();
  return { portfolioId, currency, range, benchmark, riskFreeRate, booksVersion: String(booksVersion), asOf };
}

/** The user's own job of this work, finished or not; a new one if there is none. */
async function jobOf(
  { jobs: { clientJobs }, metrics }: PerformanceDeps,
  { userId, keyId }: Principal,
  submission: Submission<typeof name>,
): Promise<JobRecord> {
  const same = await clientJobs.sameWork(userId, name, submission);
  if (same !== undefined) return same;
  const job = await clientJobs.submit({ name, submission, userId, keyId, total: performanceSteps });
  metrics.jobSubmitted(name);
  return job;
}

/** The job, after the wait that the client requested. */
async function waited(
  ctx: ApiContext,
  { jobs: { clientJobs }, config }: PerformanceDeps,
  { job, viewer }: { readonly job: JobRecord; readonly viewer: Principal },
): Promise<JobRecord> {
  const { prefer } = ctx.req.headers;
  const preferred = preferredWaitSeconds(prefer);
  ctx.vary('Prefer');
  if (preferred !== undefined) ctx.set('Preference-Applied', `wait=${preferred}`);
  else if (prefersAsync(prefer)) {
    ctx.set('Preference-Applied', 'respond-async');
    return job;
  }
  return await waitForEnd(ctx, clientJobs, {
    accepted: job,
    waitSeconds: preferred ?? config.READ_WAIT / 1000,
    viewer,
  });
}

function respondStats(ctx: ApiContext, job: JobRecord): void {
  confirmCompleted(job);
  const json = resultJsonOf(job);
  const etag = `"${createHash('sha256').update(json).digest('base64url').slice(0, 22)}"`;
  ctx.set('ETag', etag);
  ctx.set('Cache-Control', 'private, no-cache');
  if (matchesTag(ctx.req.headers['if-none-match'], etag)) ctx.status = 304;
  else respondJson(ctx, 200, envelopeOf('Performance', json));
}
