/** Entry of the worker process: configuration, platform, services, and what each feature gives a worker. */
import { createUsageCounter } from '../src/features/accounts/account-service.ts';
import { createAssetService } from '../src/features/assets/asset-service.ts';
import { createJobQueries } from '../src/features/jobs/queries/jobs.ts';
import { buildPipeline } from '../src/pipeline.ts';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import { createLogger } from '../src/platform/observability/logger.ts';
import { createShutdown, onProcessEnd } from '../src/platform/observability/shutdown.ts';
import { openPlatform } from '../src/platform/platform.ts';
import { createBooksService } from '../src/features/portfolios/books-service.ts';
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

function main(): void {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'worker', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const platform = openPlatform({ config, log, shutdown });
  const { webhooks, quotes, upstream, history } = buildPipeline(platform);
  const jobs = createJobQueries(platform.knex, (ids) => void webhooks.kick(ids));
  const assets = createAssetService(platform);
  const threads = createThreadPool();
  shutdown.add('threads', 'threads', () => threads.close());
  const clientRuns = lazily(() => openClientRuns(platform, (ids) => void webhooks.kick(ids)));
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
      books: createBooksService(platform, { store: quotes.store, past: history }),
      clientRuns,
      threads,
      want: (wanted) => quotes.want({ ...wanted, urgency: 'backfill' }),
    }),
    createAlertsProcessors(platform, { quotes, webhooks }),
  ] as const;
  startWorkers(platform, [...modules, createJobsProcessors(platform, clientRuns, modules)]);
  process.send?.('ready');
}

main();
