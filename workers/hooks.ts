/** The workers of webhooks and alerts, wired. A composition root like the main one. */
import { createAlertMoves } from '../src/features/alerts/queries/alert-transitions.ts';
import { createAlertValues } from '../src/features/alerts/queries/alert-values.ts';
import { createAlertWatch } from '../src/features/alerts/queries/alert-watch.ts';
import { createWebhookAttemptQueries } from '../src/features/webhooks/queries/webhook-attempts.ts';
import { startEvaluator } from '../src/features/alerts/evaluator.ts';
import { createAlertNews } from '../src/features/alerts/alert-channel.ts';
import { createBookNews } from '../src/features/portfolios/book-channel.ts';
import { resolveHost } from '../src/features/webhooks/resolve.ts';
import { webhookRulesOf } from '../src/features/webhooks/rules.ts';
import { createSend } from '../src/features/webhooks/send.ts';
import { createAttemptTurns } from '../src/features/webhooks/attempt-limits.ts';
import { retryPausesMs } from '../src/features/webhooks/verdict.ts';
import type { WorkerParts } from './parts.ts';
import { createWebhooksCheck } from './processors/webhooks/check-webhooks.ts';
import { createWebhookDeliver } from './processors/webhooks/deliver-webhook.ts';
import type { WorkerModule } from './runtime/processor.ts';

/** Of the deliveries under way at once, those to one host and those of one user: slow receivers then leave turns to others. */
const webhookTurns = { perHost: 10, perUser: 30 };

/** Delivers webhooks, and looks after them. */
export function webhooksModule({ config, log, pipeline }: WorkerParts) {
  const { clock, deliveries, jobs, keys, knex, queueAttempt, redis } = pipeline;
  const attempts = createWebhookAttemptQueries(knex);
  return {
    processors: {
      webhooks: () => {
        const { signer, guard, targets } = webhookRulesOf(config);
        if (config.WEBHOOK_SECRET === undefined && config.JWT_SECRET === undefined)
          log.warn('neither WEBHOOK_SECRET nor JWT_SECRET is set: signatures of webhooks prove nothing');
        return {
          'webhook.deliver': createWebhookDeliver({
            attempts,
            jobs,
            queueAttempt,
            signer,
            clock,
            log,
            send: createSend({ guard, targets, resolve: resolveHost }),
            turns: createAttemptTurns({ ...webhookTurns, now: () => performance.now() }),
            rules: { pausesMs: retryPausesMs, random: Math.random },
            count: (outcome) => {
              // A figure that Redis does not take is lost.
              redis.hincrby(keys.webhookAttempts, outcome, 1).catch(() => undefined);
            },
          }),
        };
      },
      upkeep: () => {
        const check = createWebhooksCheck({ attempts, queueAttempt });
        return { 'webhooks.check': async () => ({ added: await check() }) };
      },
    },
    purges: [() => deliveries.purge(config.WEBHOOK_RETENTION)],
  } satisfies WorkerModule;
}

/** Evaluates alerts where the webhooks are delivered that they cause. */
export function alertsModule(parts: WorkerParts) {
  return {
    processors: {
      webhooks: () => {
        startAlerts(parts);
        return {};
      },
    },
  } satisfies WorkerModule;
}

/** Evaluates alerts. Any number of processes may: each alert fires once all the same. */
function startAlerts({ config, log, shutdown, pipeline }: WorkerParts): void {
  const { knex, redis, subscriber, keys, outbox, ticks, mirror, store, demand, kick, clock } = pipeline;
  const evaluator = startEvaluator({
    watch: createAlertWatch(knex),
    moves: createAlertMoves({ knex, outbox }),
    values: createAlertValues(knex),
    news: createAlertNews({ redis, subscriber, channel: keys.alerts }),
    bookNews: createBookNews({ redis, subscriber, channel: keys.books }),
    ticks,
    quotes: {
      get: (currency, assetId) => mirror.get(currency, assetId),
      async load(currency, assetIds) {
        const absent = assetIds.filter((id) => mirror.get(currency, id) === undefined);
        for (const { quote } of await store.readMany(currency, absent))
          if (quote !== undefined) mirror.put(quote);
      },
    },
    async want(wish) {
      const { settled } = await demand.want(wish);
      if (settled.length < wish.assetIds.length) await kick.quotes(wish.currency, 'stream');
    },
    kickDeliveries: (ids) => outbox.kick(ids),
    clock,
    log,
    freshMs: config.QUOTE_FRESH_SECONDS * 1000,
    renewAfterMs: Math.min(config.STREAM_RENEW_SECONDS, config.QUOTE_FRESH_SECONDS) * 1000,
  });
  shutdown.add('work', 'alerts', () => evaluator.close());
}
