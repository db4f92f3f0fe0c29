import type { DueDelivery } from './queries/webhook-attempts.ts';
import type { WebhookDeliveryQueries, WebhookOutbox } from './queries/webhook-deliveries.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Queues } from '../../platform/queue/queues.ts';

/**
 * Adds a job for the next attempt of a delivery, `delayMs` from now. At most one waits or runs for each attempt. Resolves to
 * whether it was added; the row is found due otherwise.
 */
export type QueueAttempt = (delivery: DueDelivery, delayMs?: number) => Promise<boolean>;

interface QueueAttemptDeps {
  readonly queues: Pick<Queues, 'add'>;
  readonly log: Logger;
}

/** Builds a {@link QueueAttempt}. */
export function createQueueAttempt({ queues, log }: QueueAttemptDeps): QueueAttempt {
  return async ({ id, attempts }, delayMs = 0) => {
    try {
      // The number, because the job of an attempt may still be running when that of the next one is added.
      const deduplication = { id: `webhook-${id}-${attempts}` };
      await queues.add('webhook.deliver', { deliveryId: id }, { deduplication, delay: delayMs });
      return true;
    } catch (error) {
      log.debug({ delivery: id, reason: messageOf(error) }, 'an attempt could not be queued yet');
      return false;
    }
  };
}

interface WebhookOutboxDeps {
  readonly deliveries: Pick<WebhookDeliveryQueries, 'enqueueIn'>;
  readonly queueAttempt: QueueAttempt;
}

/** Deliveries that are added to the queue side by side. */
const batchSize = 50;

/** Builds the {@link WebhookOutbox} over Postgres and the queue. */
export function createWebhookOutbox({ deliveries, queueAttempt }: WebhookOutboxDeps): WebhookOutbox {
  return {
    enqueueIn: deliveries.enqueueIn,
    async kick(ids) {
      for (let start = 0; start < ids.length; start += batchSize) {
        const batch = ids.slice(start, start + batchSize);
        const added = await Promise.all(batch.map((id) => queueAttempt({ id, attempts: 0 })));
        // Redis is away: each further one would wait for its deadline in vain.
        if (!added.some(Boolean)) return;
      }
    },
  };
}
