/** A job as clients see it, in API responses and in webhooks. */
import type { JobRecord, ResolvedSymbol } from './job.ts';

/** Path of a job. */
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
  const resolved = job.resolvedJson == null ? '' : `,"resolved":${job.resolvedJson}`;
  const result = job.state === 'completed' ? `,"result":${resultJsonOf(job)}` : '';
  return `${head.slice(0, -1)}${resolved}${result}}`;
}

/** Cannot stand inside a JSON text, where quotation marks are escaped. */
const errorCount = /"error_count":(\d+)/;

/**
 * JSON text of a completed job's result. It may be shared with jobs that asked for the same assets in other words: what the
 * symbols of this one stand for is put in here, and those that stand for nothing are counted as errors.
 */
export function resultJsonOf({ resultJson, resolvedJson }: JobRecord): string {
  if (resultJson === null) return 'null';
  if (resolvedJson == null) return resultJson;
  const resolved = JSON.parse(resolvedJson) as ResolvedSymbol[];
  const unknown = resolved.filter(({ id }) => id === null).length;
  const counted = resultJson.replace(errorCount, (_all, n: string) => `"error_count":${Number(n) + unknown}`);
  return `{"resolved":${resolvedJson},${counted.slice(1)}`;
}
