/** The evaluator of alerts, wired. A composition root like the main one. */
import { createAlertMoves } from '../src/features/alerts/queries/alert-transitions.ts';
import { createAlertValues } from '../src/features/alerts/queries/alert-values.ts';
import { createAlertWatch } from '../src/features/alerts/queries/alert-watch.ts';
import { startEvaluator } from '../src/features/alerts/evaluator.ts';
import { createAlertNews } from '../src/features/alerts/alert-channel.ts';
import { createBookNews } from '../src/features/portfolios/book-channel.ts';
import type { WorkerParts } from './parts.ts';
import type { WorkerModule } from './runtime/processor.ts';

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
  const { knex, redis, subscriber, keys, webhooks, ticks, mirror, store, demand, kick, clock } = pipeline;
  const evaluator = startEvaluator({
    watch: createAlertWatch(knex),
    moves: createAlertMoves({ knex, outbox: webhooks }),
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
    kickDeliveries: (ids) => webhooks.kick(ids),
    clock,
    log,
    freshMs: config.QUOTE_FRESH_SECONDS * 1000,
    renewAfterMs: Math.min(config.STREAM_RENEW_SECONDS, config.QUOTE_FRESH_SECONDS) * 1000,
  });
  shutdown.add('work', 'alerts', () => evaluator.close());
}
