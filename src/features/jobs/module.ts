import type { ApiModule } from '../../platform/http/api-module.ts';
import type { JobService } from './job-service.ts';
import { jobRoutes } from './routes.ts';

/** The module of client jobs, their streams, and their metrics. */
export function createJobsModule(
  _platform: unknown,
  services: Parameters<typeof jobRoutes>[0] & { readonly jobs: Pick<JobService, 'countByState'> },
): ApiModule {
  return {
    routes: jobRoutes(services),
    metrics(metrics) {
      metrics.gauge('job_states', 'Client jobs by state.', {
        label: 'state',
        read: () => services.jobs.countByState(),
      });
    },
  };
}
