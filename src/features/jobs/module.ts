import type { ApiModule } from '../../platform/http/api-module.ts';
import type { JobQueries } from './queries/jobs.ts';

/** Registers the gauge of client jobs by their state. */
export function jobMetrics(jobs: Pick<JobQueries, 'countByState'>): NonNullable<ApiModule['metrics']> {
  return (metrics) => {
    metrics.gauge('job_states', 'Client jobs by state.', {
      label: 'state',
      read: () => jobs.countByState(),
    });
  };
}
