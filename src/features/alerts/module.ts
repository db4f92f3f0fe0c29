import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { Allowances } from '../../platform/redis/allowances.ts';
import type { AlertService } from './alert-service.ts';
import { alertRoutes } from './routes.ts';

/** Alerts of users, and the stream of those that fire. */
export function createAlertsModule(services: {
  readonly alerts: AlertService;
  readonly realtime: Pick<Realtime, 'takeOver'>;
  readonly allowances: Allowances;
}): ApiModule {
  return { routes: alertRoutes({ ...services, alertStreams: services.alerts.streams }) };
}
