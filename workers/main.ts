import { createAssetQueries } from '../src/features/assets/queries/assets.ts';
import { createPortfolioPurge } from '../src/features/portfolios/queries/portfolio-purge.ts';
import { createLedgerQueries } from '../src/features/portfolios/queries/ledgers.ts';
import { createPasswordQueries } from '../src/features/accounts/queries/password-resets.ts';
import { createUsageQueries } from '../src/features/accounts/queries/usage.ts';
import { createUserQueries } from '../src/features/accounts/queries/users.ts';
import { credentialLifeOf } from '../src/features/accounts/credential-life.ts';
import { createUsageTally } from '../src/features/accounts/usage-counter.ts';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { priceSourceOf } from '../src/platform/config/price-source.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import { createAssetNews } from '../src/features/assets/asset-channel.ts';
import { createJobEventLog } from '../src/features/jobs/job-events.ts';
import { createControlChannel } from '../src/features/jobs/control-channel.ts';
import { createLogger } from '../src/platform/observability/logger.ts';
import { createMailer } from '../src/platform/mail/mailer.ts';
import { createShutdown, onProcessEnd } from '../src/platform/observability/shutdown.ts';
import { buildHistoryKeeping, buildHistoryWriting } from '../src/histories.ts';
import { buildMirrorWriting } from '../src/mirroring.ts';
import { openPlatform } from '../src/platform/platform.ts';
import { buildPipeline } from '../src/pipeline.ts';
import { createBooksKick } from '../src/features/portfolios/enqueue-books.ts';
import { createAccessPurge } from '../src/features/accounts/queries/access-purge.ts';
import type { QueueName } from '../jobs/contract.ts';
import { checkAssets, createRankNoter, type AssetRefreshDeps } from './processors/upstream/assets.ts';
import { createBooksCheck } from './processors/portfolios/check-books.ts';
import { createMailProcessors } from './processors/accounts/mail.ts';
import { createRefreshProcessors } from './processors/upstream/refresh.ts';
import { failRows } from './processors/jobs/client-run.ts';
import { createRequestProcessors, type RequestDeps } from './processors/quotes/requests.ts';
import { checkTier } from './processors/upstream/tier.ts';
import { createUpkeepProcessors } from './processors/jobs/upkeep.ts';
import { meansToWarm, warmQuotes } from './processors/quotes/warm.ts';
import { createAbandonments } from './runtime/cancellations.ts';
import { buildWebhookKeeping, startWebhooks } from './hooks.ts';
import type { WorkerParts } from './parts.ts';
import { buildImportKeeping, buildSnapshotKeeping, startBooks, startPortfolios } from './portfolios.ts';
import { createWorker, type RunningWorker } from './runtime/create-worker.ts';
import { keepSchedules } from './runtime/schedules.ts';
import { createThreadPool } from './runtime/thread-pool.ts';
import { createAggregator } from './threads/aggregate.ts';
import { startWatchdog } from './runtime/watchdog.ts';
import { buildUpstream } from './upstream.ts';

/** Running jobs get this long (ms) to end; the process manager waits longer. */
const closeDeadlineMs = 7_000;
/** Refresh jobs at once: as many as the gate lets call, and a few that wait for a grant. */
const refreshConcurrency = 8;
/**
 * One refresh job waits for a grant on behalf of everybody; when its process dies, everybody waits for its lock to end. Half the
 * usual time (ms) is safe: running a refresh twice costs a call at worst, and the budget counts it.
 */
const refreshLockMs = 4_000;
/** Mails that are sent at once. */
const mailConcurrency = 4;
/** A mail may take longer than a usual lock lives (ms); the mail of a process that dies is late, not lost. */
const mailLockMs = 40_000;
/** Ledger rows are kept for two months (s), so that the month before can be counted too. */
const ledgerRetentionSeconds = 62 * 86_400;

function main(): void {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'worker', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const threads = createThreadPool();
  shutdown.add('threads', 'threads', () => threads.close());
  const pipeline = buildPipeline(openPlatform({ config, log, shutdown }));
  const parts: WorkerParts = { config, log, shutdown, pipeline, threads };
  const workers = config.WORKER_QUEUES.flatMap((queue) => startWorker[queue](parts) ?? []);
  shutdown.add('work', 'workers', async () => {
    await Promise.all(workers.map((worker) => worker.close(closeDeadlineMs)));
  });
  const stopWatchdog = startWatchdog({
    workers,
    queues: parts.pipeline.queues,
    log,
    onStuck: () => process.exit(1),
  });
  const stopSchedules = keepSchedules(parts.pipeline.queues, log);
  shutdown.add('accept', 'timers', () => {
    stopWatchdog();
    stopSchedules();
  });
  log.info({ queues: workers.map(({ queue }) => queue) }, 'worker started');
  process.send?.('ready');
}

/** Undefined for a queue that cannot be served as configured. */
const startWorker: Readonly<Record<QueueName, (parts: WorkerParts) => RunningWorker | undefined>> = {
  requests: startRequests,
  refresh: startRefresh,
  upkeep: startUpkeep,
  mail: startMail,
  books: startBooks,
  portfolios: startPortfolios,
  webhooks: startWebhooks,
};

function startRequests({ config, log, pipeline, threads }: WorkerParts): RunningWorker {
  const { jobs, runs, collect, clock, redis, keys, subscriber } = pipeline;
  const abandonments = createAbandonments();
  const control = createControlChannel({ redis, subscriber, channel: keys.control });
  control.listen(({ abandon }) => abandonments.abandon(abandon));
  const deps: RequestDeps = {
    jobs,
    runs,
    collect,
    aggregator: createAggregator(threads),
    clock,
    log,
    events: createJobEventLog(redis, keys.jobEvents),
    deadlineMs: config.JOB_DEADLINE_SECONDS * 1000,
    abandoned: (workKey) => abandonments.watch(workKey),
  };
  return createWorker({
    queue: 'requests',
    processors: createRequestProcessors(deps),
    redis: pipeline.openRedis('blocking', 'requests'),
    prefix: keys.queues,
    concurrency: config.WORKER_CONCURRENCY,
    log,
    onDead: async (_name, data, reason) => {
      const { workKey } = data as { workKey: string };
      const message = reason.includes('stalled')
        ? 'The job ended its worker process repeatedly'
        : 'The job failed';
      await failRows(deps, workKey, { code: 'job_failed', message });
    },
  });
}

function startRefresh(parts: WorkerParts): RunningWorker {
  const { config, log, shutdown, pipeline } = parts;
  const upstream = buildUpstream(parts);
  const usage = createUsageTally({ queries: createUsageQueries(pipeline.knex), log });
  shutdown.add('queues', 'usage', () => usage.close());
  const { demand, store, publisher, kick, clock, keys } = pipeline;
  const keeping = assetKeepingOf(parts);
  return createWorker({
    queue: 'refresh',
    processors: createRefreshProcessors({
      ...buildMirrorWriting(parts),
      ...buildHistoryWriting(parts),
      ...keeping,
      noteRanking: createRankNoter({ ...keeping, kick, clock, log }),
      ...upstream,
      budget: pipeline.budget,
      demand,
      store,
      publisher,
      kick,
      clock,
      log,
      notFoundMs: config.NOT_FOUND_SECONDS * 1000,
      charge: (who, share) => usage.calls(who, share),
    }),
    redis: pipeline.openRedis('blocking', 'refresh'),
    prefix: keys.queues,
    concurrency: refreshConcurrency,
    lockMs: refreshLockMs,
    log,
  });
}

/** What keeps the list of assets. */
function assetKeepingOf({
  config,
  pipeline,
}: WorkerParts): Pick<AssetRefreshDeps, 'assets' | 'assetNews' | 'assetRankPages'> {
  const { knex, redis, subscriber, keys } = pipeline;
  return {
    assets: createAssetQueries(knex),
    assetNews: createAssetNews({ redis, subscriber, channel: keys.assets }),
    assetRankPages: config.ASSET_RANK_PAGES,
  };
}

function startUpkeep(parts: WorkerParts): RunningWorker {
  const { config, log, pipeline } = parts;
  const { assets } = assetKeepingOf(parts);
  const accessPurge = createAccessPurge(pipeline.knex);
  return createWorker({
    queue: 'upkeep',
    processors: createUpkeepProcessors({
      ...buildHistoryKeeping(parts),
      ...buildWebhookKeeping(parts),
      ...buildSnapshotKeeping(parts),
      ...buildImportKeeping(parts),
      runs: pipeline.runs,
      queues: pipeline.queues,
      log,
      retentionSeconds: config.JOB_RETENTION,
      purgeLedger: () =>
        pipeline.ledger.purge(new Date(pipeline.clock.now() - ledgerRetentionSeconds * 1000)),
      checkAssets: async () =>
        config.ASSET_LIST === 'daily' && (await checkAssets({ assets, kick: pipeline.kick })),
      warm: () => warm(parts),
      checkBooks: createBooksCheck({
        ledgers: createLedgerQueries(pipeline.knex),
        kick: createBooksKick(pipeline.queues),
      }),
      purgePortfolios: () => createPortfolioPurge(pipeline.knex).purge(),
      checkTier: () => seeToTier(parts),
      purgeAccess: () =>
        accessPurge.purge({
          nameHoldSeconds: config.ACCOUNT_NAME_HOLD,
          refreshSeconds: config.REFRESH_EXPIRES_IN,
        }),
    }),
    redis: pipeline.openRedis('blocking', 'upkeep'),
    prefix: pipeline.keys.queues,
    concurrency: 1,
    log,
  });
}

/** Only paid plans of CoinGecko tell their limits. */
async function seeToTier({ config, pipeline }: WorkerParts): Promise<boolean> {
  if (config.COINGECKO_PLAN !== 'pro' || priceSourceOf(config).provider !== 'coingecko') return false;
  const { budget, ledger, redis, queues, keys } = pipeline;
  return await checkTier({
    redis,
    queues,
    attemptKey: keys.tierAsked(budget.key),
    toldAgoMs: () => ledger.toldAgoMs(budget.key),
  });
}

async function warm({ config, pipeline }: WorkerParts): Promise<number> {
  if (config.WARMING === 'off') return 0;
  return await warmQuotes({
    ...pipeline,
    freshMs: config.QUOTE_FRESH_SECONDS * 1000,
    means: async (withinMs) => meansToWarm(await pipeline.budgetStatus(), withinMs),
  });
}

/** Undefined without a mail server: nothing is queued then. */
function startMail({ config, log, shutdown, pipeline }: WorkerParts): RunningWorker | undefined {
  if (config.SMTP_URL === undefined) return undefined;
  const mailer = createMailer({ url: config.SMTP_URL, from: config.MAIL_FROM });
  shutdown.add('clients', 'mailer', () => mailer.close());
  const life = credentialLifeOf(config);
  return createWorker({
    queue: 'mail',
    processors: createMailProcessors({
      users: createUserQueries(pipeline.knex, life),
      resets: createPasswordQueries(pipeline.knex, life),
      mailer,
      publicUrl: config.PUBLIC_URL,
    }),
    redis: pipeline.openRedis('blocking', 'mail'),
    prefix: pipeline.keys.queues,
    concurrency: mailConcurrency,
    lockMs: mailLockMs,
    log,
  });
}

main();
