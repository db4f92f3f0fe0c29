import { buildPipeline } from '../src/pipeline.ts';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import { createLogger } from '../src/platform/observability/logger.ts';
import { createShutdown, onProcessEnd } from '../src/platform/observability/shutdown.ts';
import { openPlatform } from '../src/platform/platform.ts';
import { historyModule, quotesModule, upstreamModule } from './features.ts';
import { alertsModule } from './hooks.ts';
import type { WorkerParts } from './parts.ts';
import { portfoliosModule } from './portfolios.ts';
import { openClientRuns } from './processors/jobs/client-run.ts';
import { createAccountsProcessors } from './processors/accounts/module.ts';
import { createWebhooksProcessors } from './processors/webhooks/module.ts';
import { createJobsProcessors } from './processors/jobs/module.ts';
import { lazily } from './runtime/lazily.ts';
import { startWorkers } from './runtime/start-workers.ts';
import { createThreadPool } from './runtime/thread-pool.ts';

/** Entry of the worker process: configuration, platform, and what each feature gives it. */
function main(): void {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'worker', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const platform = openPlatform({ config, log, shutdown });
  const pipeline = buildPipeline(platform);
  const threads = createThreadPool();
  shutdown.add('threads', 'threads', () => threads.close());
  const clientRuns = lazily(() => openClientRuns(platform, (ids) => void pipeline.webhooks.kick(ids)));
  const parts: WorkerParts = { config, log, shutdown, pipeline, threads, clientRuns };

  const modules = [
    createAccountsProcessors(platform),
    createWebhooksProcessors(platform, {
      webhooks: pipeline.webhooks,
      findJob: (id) => pipeline.jobs.find(id),
    }),
    quotesModule(parts),
    upstreamModule(parts),
    historyModule(parts),
    portfoliosModule(parts),
    alertsModule(parts),
  ] as const;
  startWorkers(platform, [...modules, createJobsProcessors(platform, clientRuns, modules)]);
  process.send?.('ready');
}

main();
