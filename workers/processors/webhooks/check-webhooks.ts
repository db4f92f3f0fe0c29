import type { WebhookAttemptQueries } from '../../../src/features/webhooks/queries/webhook-attempts.ts';
import type { QueueAttempt } from '../../../src/features/webhooks/webhook-outbox.ts';

export interface CheckWebhooksDeps {
  readonly attempts: Pick<WebhookAttemptQueries, 'due'>;
  readonly queueAttempt: QueueAttempt;
}

const pageSize = 200;
/** Pages of one look; the next look goes on behind them, so that what waits for a slow receiver hides nothing. */
const pagesPerLook = 5;

/**
 * Builds the look for deliveries that are due: it queues the attempt of each, which changes nothing where Redis has not lost it.
 * Returns the number of those that it saw.
 */
export function createWebhooksCheck({ attempts, queueAttempt }: CheckWebhooksDeps): () => Promise<number> {
  let after: string | undefined;
  return async () => {
    let seen = 0;
    for (let page = 0; page < pagesPerLook; page++) {
      const { due, next } = await attempts.due({ limit: pageSize, after });
      const added = await Promise.all(due.map((each) => queueAttempt(each)));
      // What Redis did not take is looked at again.
      if (added.includes(false)) break;
      seen += due.length;
      after = next;
      if (due.length < pageSize) {
        after = undefined;
        break;
      }
    }
    return seen;
  };
}
