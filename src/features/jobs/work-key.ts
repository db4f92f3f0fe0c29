import { createHash } from 'node:crypto';
import type { ClientJobName } from '../../../jobs/registry.ts';
import type { Submission } from './job-service.ts';

/** Requests for the same work have the same key, whoever asks: they share one run. */
export function workKeyOf<N extends ClientJobName>(name: N, submission: Submission<N>): string {
  return createHash('sha256')
    .update(`${name}\n${JSON.stringify(submission)}`)
    .digest('base64url');
}
