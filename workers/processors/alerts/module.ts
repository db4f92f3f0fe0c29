import { createAlertChannel } from '../../../src/features/alerts/alert-channel.ts';
import { AlertEvaluator } from '../../../src/features/alerts/evaluator.ts';
import { createAlertTransitionQueries } from '../../../src/features/alerts/queries/alert-transitions.ts';
import { createAlertValues } from '../../../src/features/alerts/queries/alert-values.ts';
import { createAlertWatch } from '../../../src/features/alerts/queries/alert-watch.ts';
import { createBookChannel } from '../../../src/features/portfolios/book-channel.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';

/**
 * Evaluates alerts in the processes that also deliver their webhooks. Any number of processes may do so: each alert still fires
 * once.
 */
export function createAlertsProcessors(
  { knex, redis, subscriber, keys, clock, log, shutdown }: Platform,
  { quotes, webhooks }: { readonly quotes: QuoteService; readonly webhooks: WebhookService },
) {
  return {
    processors: {
      // It has no jobs: the evaluator runs wherever this queue is served.
      webhooks: () => {
        const evaluator = new AlertEvaluator({
          watch: createAlertWatch(knex),
          transitionQueries: createAlertTransitionQueries({ knex, outbox: webhooks }),
          values: createAlertValues(knex),
          channel: createAlertChannel({ redis, subscriber, channel: keys.alerts }),
          bookChannel: createBookChannel({ redis, subscriber, channel: keys.books }),
          ticks: quotes.ticks,
          quotes: { get: quotes.local.get, load: (currency, assetIds) => quotes.load(currency, assetIds) },
          want: quotes.want,
          enqueueDeliveries: (ids) => webhooks.enqueueAttempts(ids),
          clock,
          log,
          freshMs: quotes.freshMs,
          renewAfterMs: quotes.renewAfterMs,
        });
        shutdown.add('work', 'alerts', () => evaluator.close());
        return {};
      },
    },
  } satisfies WorkerModule;
}
