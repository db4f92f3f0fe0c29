import { isFinal, type JobRecord } from '../../domain/job.ts';

/** Strong entity tag of a job's representation. */
export function jobTag(job: JobRecord): string {
  return `"${job.version}"`;
}

/** Seconds after which polling again makes sense, 1 to 60; undefined when the job has ended. */
export function pollAfterSeconds(job: JobRecord, etaSeconds: number | null): number | undefined {
  if (isFinal(job.state)) return undefined;
  return Math.min(60, Math.max(1, Math.ceil(etaSeconds ?? 1)));
}
