/** Entry of the API process: configuration, platform, services, what each feature serves, and the order of the end. */
import { createApp } from './app.ts';
import { createAccountService } from './features/accounts/account-service.ts';
import { createAlertService } from './features/alerts/alert-service.ts';
import { createAssetService } from './features/assets/asset-service.ts';
import { createCoinGeckoApiService } from './features/coingecko-api/coingecko-api-service.ts';
import { createJobService } from './features/jobs/job-service.ts';
import { createBooksService } from './features/portfolios/books-service.ts';
import { createPortfolioService } from './features/portfolios/portfolio-service.ts';
import { jobMetrics } from './features/jobs/module.ts';
import { quoteMetrics } from './features/quotes/module.ts';
import { createUpstreamModule } from './features/upstream/module.ts';
import { createWebhooksModule } from './features/webhooks/module.ts';
import { buildPipeline } from './pipeline.ts';
import { loadEnvironmentFile } from './platform/config/env-file.ts';
import { loadConfig } from './platform/config/load-config.ts';
import { admitOf } from './platform/http/admission.ts';
import { createTrust } from './platform/http/client-address.ts';
import { listen } from './platform/http/listen.ts';
import { createHealth } from './platform/observability/health.ts';
import { createLogger } from './platform/observability/logger.ts';
import { createMetrics } from './platform/observability/metrics-registry.ts';
import { createShutdown, onProcessEnd } from './platform/observability/shutdown.ts';
import { openPlatform } from './platform/platform.ts';
import { createRealtimeModule } from './platform/realtime/module.ts';
import { createUpgrade } from './platform/realtime/upgrade.ts';
import { buildStreaming } from './streaming.ts';

/** Longest wait (ms) for the revocations before listening. */
const revocationsWaitMs = 2_000;
/** Longest wait (ms) for the list of assets before listening. */
const assetsWaitMs = 1_000;

async function main(): Promise<void> {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'api', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const pipeline = buildPipeline(openPlatform({ config, log, shutdown }));
  const { knex, redis, clock, webhooks, quotes, upstream, history } = pipeline;

  const access = createAccountService(pipeline);
  const jobs = createJobService(pipeline, {
    kickWebhooks: (ids) => void webhooks.kick(ids),
    onAccepted: (who) => access.usage.job(who),
    wantedAssets: (currency) => quotes.demand.size(currency),
    budget: upstream.budgetStatus,
  });
  const assets = createAssetService(pipeline).openDirectory();
  const books = createBooksService(pipeline, { store: quotes.store, past: history });
  const portfolios = createPortfolioService(pipeline, books, {
    assets,
    quotes: (asked) => quotes.getMany(asked),
  });
  const streaming = buildStreaming({ config, log, shutdown, pipeline, access, jobs });
  const { realtime } = streaming;
  const alerts = createAlertService(pipeline, {
    webhooks,
    assets,
    portfolios: portfolios.portfolios,
    realtime,
  });
  const health = createHealth({
    clock,
    log,
    checks: [
      { name: 'postgres', check: () => knex.raw('select 1').then(() => undefined) },
      { name: 'redis', check: () => redis.ping().then(() => undefined) },
      {
        name: 'budget',
        check: async () => {
          const { used, limit } = await upstream.budgetStatus();
          return `${used} of ${limit} calls used in the last minute`;
        },
      },
    ],
  });
  const api = {
    ...pipeline,
    ...access,
    ...streaming,
    ...portfolios,
    ...createCoinGeckoApiService(pipeline, quotes),
    metrics: createMetrics(),
    jobDesk: jobs.desk,
    market: quotes,
    history,
    assets,
    webhookTargets: webhooks.targets,
    alerts,
    alertStreams: alerts.streams,
    health,
    budgetStatus: upstream.budgetState,
    sources: upstream.sources,
  };

  createUpstreamModule(api).metrics(api.metrics);
  quoteMetrics(api)(api.metrics);
  createWebhooksModule(api, api).metrics?.(api.metrics);
  jobMetrics(jobs.jobs)(api.metrics);
  createRealtimeModule(realtime).metrics?.(api.metrics);

  // A process that cannot learn them yet listens all the same, and believes no token until it can.
  await Promise.all([access.revocations.whenKnown(revocationsWaitMs), assets.whenRead(assetsWaitMs)]);
  const server = await listen(createApp(api), {
    host: config.HOST,
    port: config.PORT,
    isTrusted: createTrust(['loopback', ...config.TRUSTED_PROXIES]),
    onUpgrade: createUpgrade({ ...api, admit: admitOf(api) }),
  });
  shutdown.add('announce', 'readiness', () => health.retire());
  shutdown.add('accept', 'http server', () => server.close());
  log.info({ host: config.HOST, port: server.port }, 'API listens');
  process.send?.('ready');
}

await main();
