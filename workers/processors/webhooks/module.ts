import type { JobRecord } from '../../../src/domain/job.ts';
import { createAttemptSlots } from '../../../src/features/webhooks/attempt-limits.ts';
import { createSend } from '../../../src/features/webhooks/send.ts';
import { retryPausesMs } from '../../../src/features/webhooks/verdict.ts';
import type { WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import { createWebhookDeliver } from './deliver-webhook.ts';

/** Attempts at one host at once, and those of one user: slow receivers then leave turns to others. */
const slotLimits = { perHost: 10, perUser: 30 };
/** Deliveries that one query of the check finds. */
const pageSize = 200;
/** Pages of one check; the next check goes on behind them, so that what waits for a slow receiver hides nothing. */
const pagesPerCheck = 5;

/** What webhooks give workers: deliveries, and what looks after them. */
export function createWebhooksProcessors(
  { config, clock, keys, log, redis }: Pick<Platform, 'config' | 'clock' | 'keys' | 'log' | 'redis'>,
  {
    webhooks,
    findJob,
  }: {
    readonly webhooks: WebhookService;
    /** The job whose end a webhook is about. */
    readonly findJob: (id: string) => Promise<JobRecord | undefined>;
  },
) {
  return {
    processors: {
      webhooks: () => {
        if (config.WEBHOOK_SECRET === undefined && config.JWT_SECRET === undefined)
          log.warn(
            'neither WEBHOOK_SECRET nor JWT_SECRET is set: webhook signatures change with every restart and cannot be verified; set WEBHOOK_SECRET',
          );
        return {
          'webhook.deliver': createWebhookDeliver({
            webhooks,
            findJob,
            clock,
            log,
            send: createSend(webhooks),
            slots: createAttemptSlots({ ...slotLimits, now: () => performance.now() }),
            rules: { pausesMs: retryPausesMs, random: Math.random },
            count: (outcome) => {
              // A figure that Redis does not take is lost.
              redis.hincrby(keys.webhookAttempts, outcome, 1).catch(() => undefined);
            },
          }),
        };
      },
      maintenance: () => {
        const check = createWebhooksCheck(webhooks);
        return { 'webhooks.check': async () => ({ added: await check() }) };
      },
    },
    retentions: {
      'deliveries.purge': { deliveries: () => webhooks.deliveries.purge(config.WEBHOOK_RETENTION) },
    },
  } satisfies WorkerModule;
}

/**
 * Builds the check for deliveries that are due: it queues the attempt of each, which changes nothing where Redis has not lost
 * it. Returns the number of those that it saw.
 */
export function createWebhooksCheck({
  deliveries,
  queueAttempt,
}: Pick<WebhookService, 'deliveries' | 'queueAttempt'>) {
  let after: string | undefined;
  return async (): Promise<number> => {
    let seen = 0;
    for (let page = 0; page < pagesPerCheck; page++) {
      const { due, next } = await deliveries.due({ limit: pageSize, after });
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
