import { createAccountService, type AccountService } from './features/accounts/account-service.ts';
import { createAssetService } from './features/assets/asset-service.ts';
import { createCoinGeckoApiService } from './features/coingecko-api/coingecko-api-service.ts';
import { quoteMetrics } from './features/quotes/module.ts';
import { createUpstreamModule } from './features/upstream/module.ts';
import { loadEnvironmentFile } from './platform/config/env-file.ts';
import { loadConfig, type Config } from './platform/config/load-config.ts';
import { etaSeconds } from './features/jobs/eta.ts';
import { createControlChannel } from './features/jobs/control-channel.ts';
import { createJobEventLog, isLastEvent, jobSubject, workSubject } from './features/jobs/job-events.ts';
import { createWebhooksModule } from './features/webhooks/module.ts';
import { createAlertService } from './features/alerts/alert-service.ts';
import { createHeartbeat } from './features/admin/client-streams.ts';
import { createApp } from './app.ts';
import type { AppDeps } from './app-deps.ts';
import { createTrust } from './platform/http/client-address.ts';
import { listen } from './platform/http/listen.ts';
import { admitOf } from './platform/http/admission.ts';
import { createRealtimeModule } from './platform/realtime/module.ts';
import type { Realtime } from './platform/realtime/realtime.ts';
import { createUpgrade } from './platform/realtime/upgrade.ts';
import { withDeadline } from './platform/concurrency/deadline.ts';
import { createHealth, type HealthChecks } from './platform/observability/health.ts';
import { createLogger, type Logger } from './platform/observability/logger.ts';
import { createMetrics, type Metrics } from './platform/observability/metrics-registry.ts';
import { createShutdown, onProcessEnd, type Shutdown } from './platform/observability/shutdown.ts';
import { openPlatform } from './platform/platform.ts';
import { buildPipeline, type Pipeline } from './pipeline.ts';
import { buildPortfolios } from './portfolios.ts';
import type { JobDesk } from './features/jobs/job-service.ts';
import { createJobDesk } from './features/jobs/postgres-job-service.ts';
import { createJobEventReader, type JobEventReader } from './features/jobs/job-event-reader.ts';
import { buildStreaming } from './streaming.ts';

/** Entry of the API process: configuration, wiring, listening, and the order of its end. */

/** Longest wait (ms) for the revocations before listening. */
const revocationsWaitMs = 2_000;
/** Longest wait (ms) for the list of assets before listening. */
const assetsWaitMs = 1_000;
/** Longest wait (ms) for the event reader before a job's row is looked at. */
const subscribeDeadlineMs = 500;
/** Longest wait (ms) for what a forecast is made of. */
const forecastDeadlineMs = 300;
/** More jobs than this that wait for their turn make a forecast worthless. */
const forecastableJobs = 100;
/** Assets that one upstream call brings; for forecasts. */
const assetsPerCall = 250;

interface ApiParts {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
}

async function main(): Promise<void> {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'api', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const parts: ApiParts = {
    config,
    log,
    shutdown,
    pipeline: buildPipeline(openPlatform({ config, log, shutdown })),
  };

  const reader = openJobEvents(parts);
  const access = createAccountService(parts.pipeline);
  const jobDesk = buildJobDesk(parts, reader, access);
  const streaming = buildStreaming({ ...parts, reader, access, jobDesk });
  const health = buildHealth(parts);
  const { quotes, upstream, history } = parts.pipeline;
  const assets = createAssetService(parts.pipeline).openDirectory();
  const portfolios = buildPortfolios({ ...parts, market: quotes, assets });
  const alerts = createAlertService(parts.pipeline, {
    webhooks: parts.pipeline.webhooks,
    assets,
    portfolios: portfolios.portfolios,
    realtime: streaming.realtime,
  });
  const deps: AppDeps = {
    config,
    log,
    clock: parts.pipeline.clock,
    metrics: buildMetrics(parts, streaming.realtime),
    ...access,
    jobDesk,
    ...streaming,
    quotes,
    market: quotes,
    ...createCoinGeckoApiService(parts.pipeline, quotes),
    history,
    assets,
    webhooks: parts.pipeline.webhooks,
    webhookTargets: parts.pipeline.webhooks.targets,
    alerts,
    alertStreams: alerts.streams,
    ...portfolios,
    health,
    budgetStatus: upstream.budgetState,
    sources: upstream.sources,
  };

  const { webhooks, allowances } = { ...parts.pipeline, ...access };
  createWebhooksModule(parts.pipeline, { webhooks, allowances }).metrics?.(deps.metrics);

  // A process that cannot learn them yet listens all the same, and believes no token until it can.
  await Promise.all([access.revocations.whenKnown(revocationsWaitMs), assets.whenRead(assetsWaitMs)]);
  const server = await listen(createApp(deps), {
    host: config.HOST,
    port: config.PORT,
    isTrusted: createTrust(['loopback', ...config.TRUSTED_PROXIES]),
    onUpgrade: createUpgrade({ ...deps, admit: admitOf(deps) }),
  });
  shutdown.add('announce', 'readiness', () => health.retire());
  shutdown.add('accept', 'http server', () => server.close());
  log.info({ host: config.HOST, port: server.port }, 'API listens');
  process.send?.('ready');
}

function openJobEvents({ log, shutdown, pipeline }: ApiParts): JobEventReader {
  const reader = createJobEventReader({
    blocking: pipeline.openRedis('blocking', 'job-events'),
    redis: pipeline.redis,
    streamKey: pipeline.keys.jobEvents,
    epochKey: pipeline.keys.jobEventsEpoch,
    log,
  });
  shutdown.add('queues', 'job events', () => reader.close());
  return reader;
}

function buildJobDesk(
  { config, log, shutdown, pipeline }: ApiParts,
  reader: JobEventReader,
  access: Pick<AccountService, 'usage'>,
): JobDesk {
  const { redis, subscriber, keys, jobs, queues, clock } = pipeline;
  const control = createControlChannel({ redis, subscriber, channel: keys.control });
  const events = createJobEventLog(redis, keys.jobEvents);
  const draining = new AbortController();
  shutdown.add('announce', 'waiting clients', () => draining.abort());
  return createJobDesk({
    draining: draining.signal,
    jobs,
    queues,
    clock,
    log,
    backlogLimit: config.JOB_BACKLOG_LIMIT,
    backlogPerUser: config.JOB_BACKLOG_PER_USER,
    portfolioJobsPerUser: config.PORTFOLIO_JOBS_PER_USER,
    onAccepted: (who) => access.usage.job(who),
    abandon: (workKey) => control.publish({ abandon: workKey }),
    announceCancel: (jobId) =>
      events.append(jobSubject(jobId), [
        { type: 'job.cancelled', data: { state: 'cancelled' }, jobs: [jobId] },
      ]),
    onJobEnd: async (job, onEnd) => {
      const subscription = reader.subscribe([workSubject(job.workKey), jobSubject(job.id)], (entry) => {
        if (entry.events.some(({ type }) => isLastEvent(type))) onEnd();
      });
      // Without Redis there are no events, and the row is looked at all the same.
      await withDeadline(subscription.ready, subscribeDeadlineMs, 'subscribing').catch(() => undefined);
      return () => subscription.close();
    },
    forecast: (currency) => forecast(pipeline, currency),
  });
}

/** Seconds until the demand of a currency is served; null when that cannot be told. */
async function forecast({ quotes, queues, upstream }: Pipeline, currency: string): Promise<number | null> {
  const asked = Promise.all([
    quotes.demand.size(currency),
    upstream.budgetStatus(),
    queues.counts('requests'),
  ]);
  // Without Redis there is no forecast, and the job is accepted all the same.
  const answer = await withDeadline(asked, forecastDeadlineMs, 'a forecast').catch(() => undefined);
  if (answer === undefined) return null;
  const [wanted, budget, { waiting = 0, prioritized = 0 }] = answer;
  // What jobs want that have not had their turn is not known yet.
  return waiting + prioritized > forecastableJobs ? null : etaSeconds(wanted, assetsPerCall, budget);
}

function buildMetrics({ pipeline }: ApiParts, realtime: Realtime): Metrics {
  const { jobs } = pipeline;
  const metrics = createMetrics();
  metrics.onJobStates(() => jobs.countByState());
  createUpstreamModule(pipeline).metrics(metrics);
  quoteMetrics(pipeline)(metrics);
  createRealtimeModule(realtime).metrics?.(metrics);
  return metrics;
}

function buildHealth({ log, pipeline }: ApiParts): HealthChecks {
  const { knex, redis, clock, upstream } = pipeline;
  return createHealth({
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
}

await main();
