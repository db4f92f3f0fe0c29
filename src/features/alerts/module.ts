import type { ApiModule } from '../../platform/http/api-module.ts';
import { alertRoutes } from './routes.ts';

/** Alerts of users, and the stream of those that fire. */
export function createAlertsModule(
  _platform: unknown,
  services: Parameters<typeof alertRoutes>[0],
): ApiModule {
  return { routes: alertRoutes(services) };
}
