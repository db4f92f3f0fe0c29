/** Entry of the worker process: configuration, platform, services, and the processors of each feature. */
import { createUsageCounter } from '../src/features/accounts/account-service.ts';
import { createAssetService } from '../src/features/assets/asset-service.ts';
import { createHistoryService } from '../src/features/history/history-service.ts';
import { createJobQueries } from '../src/features/jobs/queries/jobs.ts';
import { createBooksService } from '../src/features/portfolios/books-service.ts';
import { createQuoteService, type QuoteService } from '../src/features/quotes/quote-service.ts';
import { createUpstreamService } from '../src/features/upstream/upstream-service.ts';
import { createWebhookService } from '../src/features/webhooks/webhook-service.ts';
import { startPlatform } from '../src/platform/platform.ts';
import { createAccountsProcessors } from './processors/accounts/module.ts';
import { createAlertsProcessors } from './processors/alerts/module.ts';
import { createCoinGeckoApiProcessors } from './processors/coingecko-api/module.ts';
import { createHistoryProcessors } from './processors/history/module.ts';
import { openClientRuns } from './processors/jobs/client-run.ts';
import { createJobsProcessors } from './processors/jobs/module.ts';
import { createPortfolioProcessors } from './processors/portfolios/module.ts';
import { createQuoteProcessors } from './processors/quotes/module.ts';
import { createUpstreamProcessors } from './processors/upstream/module.ts';
import { createWebhooksProcessors } from './processors/webhooks/module.ts';
import { lazily } from './runtime/lazily.ts';
import { startWorkers } from './runtime/start-workers.ts';
import { createThreadPool } from './runtime/thread-pool.ts';

/** Longest wait (ms) for the fleet's time before jobs are taken. */
const clockWaitMs = 2_000;

async function main(): Promise<void> {
  const platform = startPlatform('worker');
  const webhooks = createWebhookService(platform);
  // Nothing reads the budget before both exist.
  const quotes: QuoteService = createQuoteService(platform, { budgetState: () => upstream.budgetStatus() });
  const upstream = createUpstreamService(platform, { quotes });
  const history = createHistoryService(platform);
  const jobs = createJobQueries(platform.knex, (ids) => void webhooks.enqueueAttempts(ids));
  const assets = createAssetService(platform);
  const threads = createThreadPool();
  platform.shutdown.add('threads', 'threads', () => threads.close());
  const clientRuns = lazily(() => openClientRuns(platform, (ids) => void webhooks.enqueueAttempts(ids)));
  const callbacks = lazily(() => {
    const usage = createUsageCounter(platform);
    const recorder = history.openRecorder();
    return {
      charge: usage.calls.bind(usage),
      observe: recorder.observe.bind(recorder),
    };
  });
  const sources = () => ({ ...upstream.openSources(), ...callbacks(), demand: quotes.demand });

  const modules = [
    createAccountsProcessors(platform),
    createWebhooksProcessors(platform, { webhooks, findJob: (id) => jobs.find(id) }),
    createQuoteProcessors(platform, { quotes, budgetStatus: upstream.budgetStatus, clientRuns, threads }),
    createUpstreamProcessors(platform, { quotes, upstream, assets, callbacks }),
    createHistoryProcessors(platform, { history, sources }),
    createCoinGeckoApiProcessors(platform, sources),
    createPortfolioProcessors(platform, {
      books: createBooksService(platform, { quotes, past: history }),
      quotes,
      clientRuns,
      threads,
    }),
    createAlertsProcessors(platform, { quotes, webhooks }),
  ] as const;
  await platform.clock.whenKnown(clockWaitMs);
  startWorkers(platform, [...modules, createJobsProcessors(platform, clientRuns, modules)]);
  process.send?.('ready');
}

await main();
