import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Platform } from '../../platform/platform.ts';
import { webhookRoutes } from './routes.ts';
import type { WebhookService } from './webhook-service.ts';

/** The webhooks of a user, and statistics of all. */
export function createWebhooksModule(
  { redis, keys }: Pick<Platform, 'redis' | 'keys'>,
  services: Parameters<typeof webhookRoutes>[0] & {
    readonly webhooks: { readonly deliveries: Pick<WebhookService['deliveries'], 'countByState'> };
  },
): ApiModule {
  return {
    routes: webhookRoutes(services),
    metrics(metrics) {
      metrics.gauge('webhook_deliveries', 'Webhooks that wait, and dead letters.', {
        label: 'state',
        read: () => services.webhooks.deliveries.countByState(),
      });
      metrics.gauge('webhook_attempts_total', 'Attempts of the fleet to deliver webhooks.', {
        label: 'outcome',
        read: async () => {
          const counts = await redis.hgetall(keys.webhookAttempts);
          return Object.fromEntries(Object.entries(counts).map(([outcome, n]) => [outcome, Number(n)]));
        },
      });
    },
  };
}
