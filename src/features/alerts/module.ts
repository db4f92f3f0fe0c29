import type { ApiModule } from '../../platform/http/api-module.ts';
import { alertRoutes } from './routes.ts';

/** The module of alerts and the stream of firings. */
export function createAlertsModule(
  _platform: unknown,
  services: Parameters<typeof alertRoutes>[0],
): ApiModule {
  return { routes: alertRoutes(services) };
}
