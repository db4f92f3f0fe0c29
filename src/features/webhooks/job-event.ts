import type { JobRecord } from '../../domain/job.ts';
import { jobJson, presentJob } from '../../domain/job-text.ts';

/**
 * JSON text of the webhook that tells of a job's end: the job as `GET /jobs/:id` shows it. A result that would make it longer
 * than `maxBytes` is left out, and is to be read there. It is the same at every attempt.
 */
export function jobEventBody(job: JobRecord, maxBytes: number): string {
  const head = JSON.stringify({
    type: `job.${job.state}`,
    timestamp: job.finishedAt ?? job.createdAt,
  }).slice(0, -1);
  const whole = `${head},"data":${jobJson(job, null)}}`;
  if (Buffer.byteLength(whole) <= maxBytes) return whole;
  return `${head},"data":${JSON.stringify({ ...presentJob(job), eta_seconds: null, result_omitted: true })}}`;
}
