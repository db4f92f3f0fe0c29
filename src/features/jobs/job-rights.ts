/**
 * Who may see and cancel which job, in one place. A job on a portfolio reveals private books: an API key needs the same scopes
 * for it as for the portfolio itself, and an admin who is not the owner can see its progress and cancel it, but not see its
 * result.
 */
import {
  isPortfolioJob,
  portfolioJobNames,
  requestJobNames,
  type ClientJobName,
} from '../../../jobs/registry.ts';
import type { Principal } from '../../domain/principal.ts';
import type { JobRecord, Viewer } from '../../domain/job.ts';
import type { Scope } from '../../domain/scopes.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { allowed } from '../../platform/http/admission.ts';

/** Finds or cancels a job of the viewer, or any job if the viewer is an admin. @throws {NotFoundError} there is none. */
type ByViewer = (id: string, viewer: Viewer) => Promise<JobRecord>;

/** Scopes of which a key needs one to see any job at all. */
export const seeJobs = ['jobs:write', 'portfolio:read'] as const satisfies readonly Scope[];

/** Scopes of which a key needs one to cancel any job at all. */
export const cancelJobs = ['jobs:write', 'portfolio:write'] as const satisfies readonly Scope[];

/** The scope that a key needs for jobs that concern no portfolio. */
const onRequests = 'jobs:write';

function has({ scopes }: Principal, scope: Scope): boolean {
  return scopes === undefined || scopes.includes(scope);
}

function maySee(viewer: Principal, name: string): boolean {
  return has(viewer, isPortfolioJob(name) ? 'portfolio:read' : onRequests);
}

/** Names of the jobs that the viewer may see; undefined for all. */
export function namesSeenBy(viewer: Principal): readonly ClientJobName[] | undefined {
  const [requests, portfolios] = [has(viewer, onRequests), has(viewer, 'portfolio:read')];
  if (requests && portfolios) return undefined;
  return [...(requests ? requestJobNames : []), ...(portfolios ? portfolioJobNames : [])];
}

/**
 * A job as the viewer may see it.
 * @throws {NotFoundError} it does not exist, belongs to another user, or is of a kind that the viewer's key may not see.
 */
export async function jobSeenBy(
  viewer: Principal,
  clientJobs: { readonly get: ByViewer },
  id: string,
): Promise<JobRecord> {
  const job = await clientJobs.get(id, viewer);
  if (!maySee(viewer, job.name)) throw noSuchJob();
  return mayKnowAll(viewer, job) ? job : concealed(job);
}

/**
 * A job whose events the viewer may follow; they include the reason of a failure.
 * @throws {NotFoundError} as {@link jobSeenBy}; an admin may not follow other users' jobs on portfolios.
 */
export async function jobFollowedBy(
  viewer: Principal,
  clientJobs: { readonly get: ByViewer },
  id: string,
): Promise<JobRecord> {
  const job = await jobSeenBy(viewer, clientJobs, id);
  if (!mayKnowAll(viewer, job)) throw noSuchJob();
  return job;
}

/**
 * Cancels a job and returns it as the viewer may see it.
 * @throws {NotFoundError} it does not exist, belongs to another user, or is of a kind that the viewer's key may neither see nor
 * cancel.
 * @throws {ForbiddenError} the viewer's key may see it, but not cancel it.
 */
export async function cancelFor(
  viewer: Principal,
  clientJobs: { readonly get: ByViewer; readonly cancel: ByViewer },
  id: string,
): Promise<JobRecord> {
  const { name } = await clientJobs.get(id, viewer);
  const scope: Scope = isPortfolioJob(name) ? 'portfolio:write' : onRequests;
  if (!has(viewer, scope) && !maySee(viewer, name)) throw noSuchJob();
  allowed(viewer, { access: 'user', scope });
  const job = await clientJobs.cancel(id, viewer);
  return mayKnowAll(viewer, job) ? job : concealed(job);
}

/** Whether the viewer may see all of the job. A viewer who got the job and does not own it is an admin. */
function mayKnowAll({ userId }: Principal, job: JobRecord): boolean {
  return job.userId === userId || !isPortfolioJob(job.name);
}

/** Name, state, progress and times; only the code of an error, because its text may quote the books. */
function concealed(job: JobRecord): JobRecord {
  const error = job.error && { code: job.error.code, message: 'Details are shown only to the owner' };
  return { ...job, error, resultJson: null, resolvedJson: null };
}

function noSuchJob(): NotFoundError {
  return new NotFoundError('Job not found', 'job_not_found');
}
