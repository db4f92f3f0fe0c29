import { createHealth, type HealthChecks } from '../../platform/observability/health.ts';
import type { Platform } from '../../platform/platform.ts';
import type { UpstreamService } from '../upstream/upstream-service.ts';

/** Builds what tells whether an API process can serve: Postgres, Redis, and how much of the budget is used. */
export function createReadiness(
  { clock, log, knex, redis }: Pick<Platform, 'clock' | 'log' | 'knex' | 'redis'>,
  { upstream }: { readonly upstream: Pick<UpstreamService, 'budgetStatus'> },
): HealthChecks {
  return createHealth({
    clock,
    log,
    checks: [
      { name: 'postgres', check: () => knex.raw('select 1').then(() => undefined) },
      { name: 'redis', check: () => redis.ping().then(() => undefined) },
      {
        name: 'budget',
        check: async () => {
          const { used, limit } = await upstream.budgetStatus();
          return `${used} of ${limit} calls used in the last minute`;
        },
      },
    ],
  });
}
