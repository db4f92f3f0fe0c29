import { z } from 'zod';
import { jobStates } from '../../domain/job.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { wholeNumber } from '../../platform/http/fields.ts';

/** Query of `GET /jobs`. */
export const jobsQuery = z.strictObject({
  page: wholeNumber({ min: 1, max: 1_000_000 }).default(1),
  limit: wholeNumber({ min: 1, max: 100 }).default(20),
  state: z.enum(jobStates).optional(),
});

/** Path of `/jobs/:id`. */
export const jobPath = z.object({ id: z.string() });

const uuid = z.uuid();

/**
 * The id in a job's path.
 * @throws {NotFoundError} it is no UUID, so there is no such job.
 */
export function jobIdOf({ id }: z.output<typeof jobPath>): string {
  if (!uuid.safeParse(id).success) throw new NotFoundError('There is no such job', 'job_not_found');
  return id.toLowerCase();
}
