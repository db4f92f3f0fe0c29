import { createHistoryService } from './features/history/history-service.ts';
import { createQuoteService, type QuoteService } from './features/quotes/quote-service.ts';
import { createUpstreamService, type UpstreamService } from './features/upstream/upstream-service.ts';
import { createWebhookService } from './features/webhooks/webhook-service.ts';
import type { Platform } from './platform/platform.ts';

export type Pipeline = ReturnType<typeof buildPipeline>;

/** The services of both kinds of process, made once. Nothing is waited for: a process starts while Redis and Postgres are down. */
export function buildPipeline(platform: Platform) {
  // Nobody reads the budget before both are there.
  const quotes: QuoteService = createQuoteService(platform, { budgetState: () => upstream.budgetStatus() });
  const upstream: UpstreamService = createUpstreamService(platform, { quotes });
  return {
    ...platform,
    webhooks: createWebhookService(platform),
    quotes,
    upstream,
    history: createHistoryService(platform),
  };
}
