import { createHealth, type HealthChecks } from '../../platform/observability/health.ts';
import { storeChecks } from '../../platform/observability/store-checks.ts';
import type { Platform } from '../../platform/platform.ts';
import type { UpstreamService } from '../upstream/upstream-service.ts';

/** Builds what tells whether an API process can serve: Postgres, Redis, and how much of the budget is used. */
export function createReadiness(
  platform: Pick<Platform, 'clock' | 'log'> & Parameters<typeof storeChecks>[0],
  { upstream }: { readonly upstream: Pick<UpstreamService, 'budgetStatus'> },
): HealthChecks {
  return createHealth({
    clock: platform.clock,
    log: platform.log,
    checks: [
      ...storeChecks(platform),
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
