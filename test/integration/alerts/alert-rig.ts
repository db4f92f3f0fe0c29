/** Alerts over real Postgres and Redis, with ticks as a test sends them and any number of evaluators. */
import { Redis } from 'ioredis';
import knexFactory, { type Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { createFiringQueries } from '../../../src/features/alerts/queries/alert-firings.ts';
import { createAlertTransitionQueries } from '../../../src/features/alerts/queries/alert-transitions.ts';
import { createAlertValues } from '../../../src/features/alerts/queries/alert-values.ts';
import { createAlertWatch } from '../../../src/features/alerts/queries/alert-watch.ts';
import { createAlertQueries, type NewAlert } from '../../../src/features/alerts/queries/alerts.ts';
import { createWebhookQueries } from '../../../src/features/webhooks/queries/webhook-deliveries.ts';
import { AlertEvaluator, type EvaluatorDeps } from '../../../src/features/alerts/evaluator.ts';
import { createLocalCache } from '../../../src/features/quotes/local-cache.ts';
import { createQuoteStore } from '../../../src/features/quotes/quote-store.ts';
import type { WantRequest } from '../../../src/features/quotes/demand/demand.ts';
import type { Alert } from '../../../src/features/alerts/alert.ts';
import { type QuoteFailure } from '../../../src/domain/cached-quote.ts';
import { createAlertChannel } from '../../../src/features/alerts/alert-channel.ts';
import { createBookChannel } from '../../../src/features/portfolios/book-channel.ts';
import { createTicks } from '../../../src/features/quotes/ticks.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';
import { createTestDatabase } from '../../support/database.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { waitFor } from '../../support/wait-for.ts';
import { priced } from '../../support/quotes.ts';

const freshMs = 60_000;

/** A price alert above 100 dollars for one bitcoin. */
const usual = {
  kind: 'price',
  assetId: 'bitcoin',
  portfolioId: null,
  currency: 'usd',
  windowSeconds: null,
  direction: 'above',
  threshold: '100',
  hysteresis: '1',
  hysteresisUnit: 'percent',
  repeat: 'every',
  fireIfTrue: false,
  url: null,
  note: null,
  state: 'pending',
} as const;

export interface AlertRig {
  readonly knex: Knex;
  readonly redis: Redis;
  readonly userId: string;
  readonly alerts: ReturnType<typeof createAlertQueries>;
  readonly firings: ReturnType<typeof createFiringQueries>;
  readonly channel: ReturnType<typeof createAlertChannel>;
  readonly bookChannel: ReturnType<typeof createBookChannel>;
  /** What evaluators have wanted. */
  readonly wants: WantRequest[];
  /** Stores an alert, and tells of it unless it is to be found by itself. */
  make(different?: Partial<NewAlert>, isAnnounced?: boolean): Promise<Alert>;
  /** Starts a process that evaluates, and waits until it knows all alerts. */
  start(different?: Partial<EvaluatorDeps>): Promise<AlertEvaluator>;
  /** Cuts the connections that ticks and news arrive on; they come back by themselves. */
  cut(): void;
  /** A price comes in: into the cache, then to everybody. */
  tick(assetId: string, price: number, receivedAt?: number): Promise<void>;
  /** A price that nobody is told of. */
  store(assetId: string, price: number, receivedAt?: number): Promise<void>;
  fail(failure: QuoteFailure): Promise<void>;
  /** Waits until an alert is as `isIt` says. */
  until(id: string, isIt: (alert: Alert) => boolean, what: string): Promise<Alert>;
  /** Values at which an alert has fired, the first first. */
  firedAt(alertId: string): Promise<string[]>;
  addUser(): Promise<string>;
  /** Connections to the database in this state, or waiting for this. */
  waiting(state: string, event?: string): Promise<number>;
  /** Ends all evaluators and deletes all alerts. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Prices of some tests are received later than now; a fleet would take those for old. */
const ahead = { now: () => Date.now() + 60_000 };

export async function openAlertRig(): Promise<AlertRig> {
  const { redisUrl } = await services();
  const database = await createTestDatabase();
  const knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 6 } });
  const redis = new Redis(redisUrl);
  const reported = new Redis(redisUrl);
  const keys = createRedisKeys(uniquePrefix());
  const store = createQuoteStore({ redis, clock: ahead, keys, retentionSeconds: 600 });
  const publisher = createTicks({ clock: ahead, redis, subscriber: reported, channel: keys.ticks });
  const alerts = createAlertQueries(knex);
  const firings = createFiringQueries(knex);
  const channel = createAlertChannel({ redis, subscriber: reported, channel: keys.alerts });
  const bookChannel = createBookChannel({ redis, subscriber: reported, channel: keys.books });
  const outbox = createWebhookQueries(knex);
  const wants: WantRequest[] = [];
  const open: { evaluator: AlertEvaluator; subscriber: Redis }[] = [];

  async function addUser(): Promise<string> {
    const id = uuidv7();
    await knex('users').insert({ id, username: id, email: `${id}@example.com`, password_hash: 'x' });
    return id;
  }
  const userId = await addUser();

  async function put(assetId: string, price: number, receivedAt = Date.now()) {
    const quote = priced(assetId, price, {
      source: 'simulated',
      asOf: new Date(receivedAt - 1_000).toISOString(),
      receivedAt,
    });
    await store.write('usd', [quote]);
    return quote;
  }

  async function end(): Promise<void> {
    for (const { evaluator, subscriber } of open.splice(0)) {
      await evaluator.close();
      subscriber.disconnect();
    }
  }

  return {
    knex,
    redis,
    userId,
    alerts,
    firings,
    channel,
    bookChannel,
    wants,
    addUser,
    async make(different = {}, isAnnounced = true) {
      const alert = await alerts.insert({ ...usual, userId, ...different }, 500);
      if (isAnnounced) await channel.changed([alert.id]);
      return alert;
    },
    async start(different = {}) {
      const subscriber = new Redis(redisUrl);
      const ticks = createTicks({ clock: ahead, redis, subscriber, channel: keys.ticks });
      const localCache = createLocalCache();
      ticks.listen(localCache);
      let isListening = false;
      ticks.listen({ onGap: () => (isListening = true) });
      const evaluator = new AlertEvaluator({
        watch: createAlertWatch(knex),
        transitionQueries: createAlertTransitionQueries({ knex, outbox }),
        values: createAlertValues(knex),
        channel: createAlertChannel({ redis, subscriber, channel: keys.alerts }),
        bookChannel: createBookChannel({ redis, subscriber, channel: keys.books }),
        ticks,
        quotes: {
          get: (currency, assetId) => localCache.get(currency, assetId),
          async load(currency, assetIds) {
            for (const { quote } of await store.readMany(currency, assetIds))
              if (quote !== undefined) localCache.put(quote);
          },
        },
        want: (wanted) => Promise.resolve(void wants.push(wanted)),
        enqueueDeliveries: () => Promise.resolve(),
        clock: systemClock,
        log: silentLogger(),
        freshMs,
        renewAfterMs: 15_000,
        ...different,
      });
      open.push({ evaluator, subscriber });
      await waitFor(() => evaluator.isLoaded() && isListening, { what: 'the alerts to be read' });
      return evaluator;
    },
    cut() {
      for (const { subscriber } of open) subscriber.disconnect(true);
    },
    async tick(assetId, price, receivedAt) {
      const quote = await put(assetId, price, receivedAt);
      await publisher.publish({ currency: 'usd', quotes: [quote], failures: [] });
    },
    async store(assetId, price, receivedAt) {
      await put(assetId, price, receivedAt);
    },
    async fail(failure) {
      await publisher.publish({ currency: 'usd', quotes: [], failures: [failure] });
    },
    async until(id, isIt, what) {
      return await waitFor(
        async () => {
          const { rows } = await knex.raw<{ rows: { user_id: string }[] }>(
            'select user_id from alerts where id = ?',
            [id],
          );
          const alert = await alerts.find(id, rows[0]?.user_id ?? userId);
          return alert !== undefined && isIt(alert) && alert;
        },
        { what },
      );
    },
    async firedAt(alertId) {
      const rows = await knex('alert_firings')
        .where({ alert_id: alertId })
        .orderBy('id')
        .select<{ value: string }[]>('value');
      return rows.map(({ value }) => value);
    },
    async waiting(state, event) {
      const { rows } = await knex.raw<{ rows: { count: number }[] }>(
        `select count(*)::integer as count from pg_stat_activity where datname = current_database() and state = ?
          and (?::text is null or wait_event_type = ?)`,
        [state, event ?? null, event ?? null] as never,
      );
      return rows[0]?.count ?? 0;
    },
    async reset() {
      await end();
      for (const table of [
        'alert_firings',
        'alerts',
        'webhook_deliveries',
        'positions',
        'portfolios',
        'candles',
      ])
        await knex(table).delete();
      await flushPrefix(redis, keys.prefix);
      wants.length = 0;
    },
    async close() {
      await end();
      await flushPrefix(redis, keys.prefix);
      reported.disconnect();
      await redis.quit();
      await knex.destroy();
      await database.drop();
    },
  };
}
