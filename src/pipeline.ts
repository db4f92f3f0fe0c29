import type { Platform } from './platform/platform.ts';
import { createJobQueries, type JobQueries } from './features/jobs/queries/jobs.ts';
import { createRunQueries, type RunQueries } from './features/jobs/queries/runs.ts';
import { createUpstreamLedger } from './features/upstream/queries/upstream-calls.ts';
import { buildBudgets, type Budgets } from './features/upstream/budget/budgets.ts';
import { createQuoteCollector, type CollectQuotes } from './features/quotes/collect-quotes.ts';
import { createQuoteMirror, type QuoteMirror } from './features/quotes/local-cache.ts';
import { createRenewQuote, type RenewQuote } from './features/quotes/renew-quote.ts';
import { createQuoteStore, type QuoteStore } from './features/quotes/quote-store.ts';
import type { Urgency } from './domain/quote.ts';
import { createDemand, type Demand } from './features/quotes/demand/demand.ts';
import { createInterest, type Interest } from './features/quotes/demand/interest.ts';
import { createTicks, type TickPublisher, type TickSubscriber } from './features/quotes/ticks.ts';
import type { BudgetStatus, Budget } from './features/upstream/budget/budget.ts';
import { createKick, type Kick } from './features/quotes/enqueue-refresh.ts';
import { createHistoryService, type HistoryService } from './features/history/history-service.ts';
import { createWebhookService, type WebhookService } from './features/webhooks/webhook-service.ts';

/**
 * What both kinds of process stand on: connections, cache, demand, budget and queues, wired once. A composition root like the
 * two mains, which add what only they need.
 */
export interface Pipeline extends Platform {
  readonly jobs: JobQueries;
  readonly runs: RunQueries;
  readonly webhooks: WebhookService;
  readonly history: HistoryService;
  readonly store: QuoteStore;
  /** This process's own copy of the cache, kept current by ticks. */
  readonly mirror: QuoteMirror;
  readonly demand: Demand;
  /** What clients of the whole fleet read. */
  readonly interest: Interest;
  readonly ticks: TickSubscriber;
  readonly publisher: TickPublisher;
  /** That of the configured price source. */
  readonly budget: Budget;
  readonly budgets: Budgets;
  readonly ledger: ReturnType<typeof createUpstreamLedger>;
  /** The budget's state, read at most twice a second. */
  readonly budgetStatus: () => Promise<BudgetStatus>;
  readonly kick: Kick;
  readonly collect: CollectQuotes;
  readonly renew: RenewQuote;
  readonly pendingState: () => Promise<'pending' | 'rate_limited'>;
}

const budgetStatusAgeMs = 500;

/** Builds the pipeline. Nothing is waited for: a process starts while Redis and Postgres are down. */
export function buildPipeline(platform: Platform): Pipeline {
  const upstream = buildUpstream(platform);
  platform.shutdown.add('queues', 'interest', () => upstream.interest.close());
  return { ...platform, ...upstream, ...buildQueries(platform) };
}

type Queries = Pick<Pipeline, 'jobs' | 'runs' | 'webhooks' | 'history'>;

function buildQueries(platform: Platform): Queries {
  const webhooks = createWebhookService(platform);
  const kick = (ids: readonly string[]): void => void webhooks.kick(ids);
  return {
    jobs: createJobQueries(platform.knex, kick),
    runs: createRunQueries(platform.knex, kick),
    webhooks,
    history: createHistoryService(platform),
  };
}

type Upstream = Omit<Pipeline, keyof Platform | keyof Queries>;

/** The way from demand to quotes. */
function buildUpstream({ config, log, clock, keys, knex, redis, subscriber, queues }: Platform): Upstream {
  const ledger = createUpstreamLedger(knex);
  const budgets = buildBudgets({ config, redis, ledger, log, prefix: keys.prefix });
  const budget = budgets.primary;
  const budgetStatus = remembered(() => budget.status(), budgetStatusAgeMs);
  const pendingState = async (): Promise<'pending' | 'rate_limited'> =>
    (await budgetStatus()).nextGrantInMs > 0 ? 'rate_limited' : 'pending';
  const store = createQuoteStore({ redis, keys, retentionSeconds: config.QUOTE_RETENTION });
  const demand = createDemand({ redis, keys });
  const interest = createInterest({ redis, keys, log, windowMs: config.WARM_WINDOW * 1000 });
  const ticks = createTicks({ redis, subscriber, channel: keys.ticks });
  const mirror = createQuoteMirror();
  ticks.listen(mirror);
  const kick = createKick(queues);
  const wanting = {
    demand,
    clock,
    freshMs: config.QUOTE_FRESH_SECONDS * 1000,
    kick: (currency: string, urgency: Urgency) => kick.quotes(currency, urgency),
  };
  const renew = createRenewQuote(wanting);
  const collect = createQuoteCollector({ ...wanting, mirror, store, ticks, pendingState, reads: interest });
  return {
    renew,
    store,
    mirror,
    demand,
    interest,
    ticks,
    publisher: ticks,
    budget,
    budgets,
    ledger,
    budgetStatus,
    kick,
    collect,
    pendingState,
  };
}

/** Shares one answer among all who ask within `ageMs`. */
function remembered<T>(ask: () => Promise<T>, ageMs: number): () => Promise<T> {
  let askedAt = 0;
  let answer: Promise<T> | undefined;
  return async () => {
    const now = Date.now();
    if (answer === undefined || now - askedAt > ageMs) {
      askedAt = now;
      answer = ask();
      answer.catch(() => (answer = undefined));
    }
    return await answer;
  };
}
