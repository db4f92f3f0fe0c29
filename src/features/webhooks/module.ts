import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Allowances } from '../../platform/redis/allowances.ts';
import { webhookRoutes } from './routes.ts';
import type { WebhookService } from './webhook-service.ts';

/** A user's webhooks, and the figures of all. */
export function createWebhooksModule(
  { redis, keys }: Pick<Platform, 'redis' | 'keys'>,
  services: { readonly webhooks: WebhookService; readonly allowances: Allowances },
): ApiModule {
  const { deliveries } = services.webhooks;
  return {
    routes: webhookRoutes(services),
    metrics(metrics) {
      metrics.gauge('webhook_deliveries', 'Webhooks that wait, and dead letters.', {
        label: 'state',
        read: () => deliveries.countByState(),
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
