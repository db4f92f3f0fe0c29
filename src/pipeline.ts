import { createHistoryService } from './features/history/history-service.ts';
import { createJobQueries } from './features/jobs/queries/jobs.ts';
import { createRunQueries } from './features/jobs/queries/runs.ts';
import { createQuoteService, type QuoteService } from './features/quotes/quote-service.ts';
import { createUpstreamService, type UpstreamService } from './features/upstream/upstream-service.ts';
import { createWebhookService } from './features/webhooks/webhook-service.ts';
import type { Platform } from './platform/platform.ts';

export type Pipeline = ReturnType<typeof buildPipeline>;

/** What both kinds of process stand on, wired once. Nothing is waited for: a process starts while Redis and Postgres are down. */
export function buildPipeline(platform: Platform) {
  const webhooks = createWebhookService(platform);
  // Nobody reads the budget before both are there.
  const quotes: QuoteService = createQuoteService(platform, { budgetState: () => upstream.budgetStatus() });
  const upstream: UpstreamService = createUpstreamService(platform, { quotes });
  const kick = (ids: readonly string[]): void => void webhooks.kick(ids);
  return {
    ...platform,
    webhooks,
    quotes,
    upstream,
    history: createHistoryService(platform),
    jobs: createJobQueries(platform.knex, kick),
    runs: createRunQueries(platform.knex, kick),
  };
}
