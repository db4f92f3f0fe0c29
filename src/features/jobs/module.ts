import type { ApiModule } from '../../platform/http/api-module.ts';
import { jobRoutes, type JobDeps } from './routes.ts';
import type { JobQueries } from './queries/jobs.ts';

/** A user's jobs, and how many there are of all. */
export function createJobsModule(services: JobDeps, jobs: Pick<JobQueries, 'countByState'>) {
  return {
    routes: jobRoutes(services),
    metrics(metrics) {
      metrics.gauge('job_states', 'Client jobs by state.', {
        label: 'state',
        read: () => jobs.countByState(),
      });
    },
  } satisfies ApiModule;
}
