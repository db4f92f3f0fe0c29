import { isFinal, type JobRecord } from '../../domain/job.ts';

/** Where a job is found. */
export function jobLinks(id: string): { readonly self: string; readonly events: string } {
  const self = `/api/v1/jobs/${id}`;
  return { self, events: `${self}/events` };
}

/** A job as it stands in lists: without expectation and result. */
export function presentJob(job: JobRecord): Record<string, unknown> {
  return {
    id: job.id,
    name: job.name,
    state: job.state,
    progress: { done: job.done, total: job.total },
    created_at: job.createdAt,
    started_at: job.startedAt,
    finished_at: job.finishedAt,
    ...(job.error === null ? {} : { error: job.error }),
    links: jobLinks(job.id),
  };
}

/** JSON text of one job, its result spliced in as the text that it is stored as. */
export function jobJson(job: JobRecord, etaSeconds: number | null): string {
  const head = JSON.stringify({ ...presentJob(job), eta_seconds: etaSeconds });
  if (job.state !== 'completed') return head;
  return `${head.slice(0, -1)},"result":${job.resultJson ?? 'null'}}`;
}

/** Strong entity tag of a job's representation. */
export function jobTag(job: JobRecord): string {
  return `"${job.version}"`;
}

/** Seconds after which polling again makes sense, 1 to 60; undefined when the job has ended. */
export function pollAfterSeconds(job: JobRecord, etaSeconds: number | null): number | undefined {
  if (isFinal(job.state)) return undefined;
  return Math.min(60, Math.max(1, Math.ceil(etaSeconds ?? 1)));
}
