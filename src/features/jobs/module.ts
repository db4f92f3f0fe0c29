import type { ApiModule } from '../../platform/http/api-module.ts';
import type { JobService } from './job-service.ts';
import { jobRoutes } from './routes.ts';

/** Jobs of clients, their streams, and how many there are. */
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
