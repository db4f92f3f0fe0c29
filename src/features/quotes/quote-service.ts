/** Everything about quotes that routes, jobs and later features need: the one reader, and what workers write to the cache. */
import { randomUUID } from 'node:crypto';
import type { BudgetState } from '../../domain/budget-state.ts';
import { freshness, type QuoteReading } from '../../domain/cached-quote.ts';
import type { Platform } from '../../platform/platform.ts';
import { createQuoteCollector } from './collect-quotes.ts';
import { createDemand, createWant } from './demand/demand.ts';
import { Interest } from './demand/interest.ts';
import { createDeviationGuard, noGuard } from './deviation-guard.ts';
import { createEnqueueRefresh } from './enqueue-refresh.ts';
import { createLocalCache } from './local-cache.ts';
import { createPriceHub, type PriceHub } from './price-hub.ts';
import { QuoteReader } from './quote-reader.ts';
import { createMarketRowStore, createQuoteStore } from './quote-store.ts';
import { createTicks, type TickPublisher } from './ticks.ts';

/** Assets whose quotes are read from the cache at once. */
const cachedAtOnce = 500;

export type QuoteService = ReturnType<typeof createQuoteService>;

/**
 * Builds the quotes of a process: `get`, `getMany`, `popular`, `ranking` and `rows` read ({@link QuoteReader}), `want` requests
 * newer ones, `collect` waits for them, `cached` does neither, `openHub` watches them. Building it does no I/O.
 */
export function createQuoteService(
  platform: Platform,
  /** The state of the upstream budget, which a later feature provides. */
  { budgetState }: { readonly budgetState: () => Promise<Pick<BudgetState, 'nextGrantInMs'>> },
) {
  const { config, log, clock, keys, redis, subscriber, queues, shutdown } = platform;
  const freshMs = config.QUOTE_TTL * 1000;
  const renewAfterMs = Math.min(config.STREAM_RENEW_AFTER, config.QUOTE_TTL) * 1000;
  const retentionSeconds = config.QUOTE_STALE_TTL;
  const store = createQuoteStore({ redis, keys, clock, retentionSeconds });
  const rowStore = createMarketRowStore({ redis, keys, clock, retentionSeconds });
  const demand = createDemand({ redis, keys, clock });
  const interest = new Interest({ redis, keys, clock, log, windowMs: config.WARM_WINDOW * 1000 });
  shutdown.add('queues', 'interest', () => interest.close());
  const ticks = createTicks({ redis, subscriber, channel: keys.ticks, clock });
  const publisher: TickPublisher = ticks;
  const local = createLocalCache();
  ticks.listen(local);
  const enqueue = createEnqueueRefresh(queues);
  const want = createWant({ demand, enqueue, clock, freshMs });
  const pendingState = async (): Promise<'pending' | 'rate_limited'> =>
    (await budgetState()).nextGrantInMs > 0 ? 'rate_limited' : 'pending';
  const common = { local, store, ticks, want, clock, freshMs, pendingState, reads: interest };
  const collect = createQuoteCollector({ ...common, demand });
  const reader = new QuoteReader({ ...common, rowStore, publisher: ticks, collect, enqueue, log });

  // Not members added to the reader: it has private fields, and V8 looks members up slowly in an object with so many. That cost a
  // cached read 8 % of its speed.
  return {
    freshMs,
    version: reader.version.bind(reader),
    peekFresh: reader.peekFresh.bind(reader),
    peekFreshJson: reader.peekFreshJson.bind(reader),
    get: reader.get.bind(reader),
    getMany: reader.getMany.bind(reader),
    popular: reader.popular.bind(reader),
    ranking: reader.ranking.bind(reader),
    rows: reader.rows.bind(reader),
    noteReads: reader.noteReads.bind(reader),
    load: reader.load.bind(reader),
    /**
     * The quotes in the fleet's cache, of any age; nothing is requested. Assets without one are left out. Rejects when Redis
     * does not answer.
     */
    async cached(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, QuoteReading>> {
      const readings = new Map<string, QuoteReading>();
      for (let begin = 0; begin < assetIds.length; begin += cachedAtOnce) {
        const stored = await store.readMany(currency, assetIds.slice(begin, begin + cachedAtOnce));
        const now = clock.now();
        for (const { quote } of stored) {
          if (quote === undefined) continue;
          const { assetId } = quote;
          readings.set(assetId, { assetId, state: freshness(quote, now, freshMs), quote });
        }
      }
      return readings;
    },
    clear: reader.clear.bind(reader),
    stats: reader.stats.bind(reader),
    store,
    rowStore,
    /** This process's own copy of the cache, kept current by ticks. */
    local,
    demand,
    /** What clients of the whole fleet read. */
    interest,
    ticks,
    /** Announces new quotes to the fleet. */
    publisher,
    enqueue,
    want,
    collect,
    pendingState,
    /** Keeps prices that are too far from the last one out of the cache, until they are confirmed. */
    guard: config.DEVIATION_GUARD === 'on' ? createDeviationGuard({ redis, keys, store, log }) : noGuard,
    /** Number of prices far from the last one, by outcome: `doubted` and `confirmed`. Rejects when Redis does not answer. */
    async deviations(): Promise<Readonly<Record<string, number>>> {
      const counts = Object.entries(await redis.hgetall(keys.guarded));
      return Object.fromEntries(counts.map(([verdict, count]) => [verdict, Number(count)]));
    },
    /** Age (ms) at which a watched quote is requested again. */
    renewAfterMs,
    /** Opens the hub through which streams watch prices; it is closed at shutdown. */
    openHub(): PriceHub {
      const hub = createPriceHub({
        epoch: randomUUID().slice(0, 8),
        ticks,
        clock,
        log,
        freshMs,
        renewAfterMs,
        quotes: {
          get: local.get,
          failure: (...requested) => local.reported(...requested),
          load: (...requested) => reader.load(...requested),
        },
        want,
      });
      shutdown.add('queues', 'price hub', () => hub.close());
      return hub;
    },
  };
}
