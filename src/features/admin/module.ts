import type { ApiModule } from '../../platform/http/api-module.ts';
import type { HealthChecks } from '../../platform/observability/health.ts';
import type { Metrics } from '../../platform/observability/metrics-registry.ts';
import type { Platform } from '../../platform/platform.ts';
import { adminRoutes } from './routes.ts';

/** What operators look at: settings, health and metrics. */
export function createAdminModule(
  platform: Pick<Platform, 'config'>,
  services: { readonly health: HealthChecks; readonly metrics: Metrics },
): ApiModule {
  return { routes: adminRoutes(platform, services) };
}
