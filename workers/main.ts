import { createUpstreamGate, type UpstreamGate } from '../src/providers/upstream-gate.ts';
import { createCoinGeckoProvider } from '../src/providers/coingecko/coingecko-provider.ts';
import type { PriceProvider } from '../src/providers/provider.ts';
import { createPasswordQueries } from '../db/queries/password-resets.ts';
import { createUsageQueries } from '../db/queries/usage.ts';
import { createUserQueries } from '../db/queries/users.ts';
import { credentialLifeOf } from '../src/accounts/credential-life.ts';
import { createUsageTally } from '../src/accounts/usage-tally.ts';
import { loadEnvironmentFile } from '../src/config/env-file.ts';
import { loadConfig, type Config } from '../src/config/load-config.ts';
import { createJobEventLog } from '../src/events/job-events.ts';
import { listenForControl } from '../src/events/control.ts';
import { createLogger, type Logger } from '../src/lib/logger.ts';
import { createMailer } from '../src/mail/mailer.ts';
import { createShutdown, onProcessEnd, type Shutdown } from '../src/lib/shutdown.ts';
import { messageOf } from '../src/lib/errors.ts';
import { buildPipeline, type Pipeline } from '../src/pipeline.ts';
import { createAccessPurge } from '../db/queries/access-purge.ts';
import type { QueueName } from '../jobs/contract.ts';
import { createMailProcessors } from './processors/mail.ts';
import { createRefreshProcessors } from './processors/refresh.ts';
import { createRequestProcessors, failRows, type RequestDeps } from './processors/requests.ts';
import { createUpkeepProcessors } from './processors/upkeep.ts';
import { createAbandonments } from './runtime/abandonments.ts';
import { createWorker, type RunningWorker } from './runtime/create-worker.ts';
import { keepSchedules } from './runtime/schedules.ts';
import { createAggregator } from './runtime/thread-pool.ts';
import { startWatchdog } from './runtime/watchdog.ts';

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

interface WorkerParts {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
}

function main(): void {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'worker', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const parts: WorkerParts = { config, log, shutdown, pipeline: buildPipeline({ config, log, shutdown }) };
  const workers = config.WORKER_QUEUES.flatMap((queue) => startWorker(parts, queue) ?? []);
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
function startWorker(parts: WorkerParts, queue: QueueName): RunningWorker | undefined {
  if (queue === 'requests') return startRequests(parts);
  if (queue === 'mail') return startMail(parts);
  return queue === 'refresh' ? startRefresh(parts) : startUpkeep(parts);
}

function startRequests({ config, log, shutdown, pipeline }: WorkerParts): RunningWorker {
  const { jobs, runs, collect, clock, redis, keys, subscriber } = pipeline;
  const aggregator = createAggregator();
  shutdown.add('threads', 'aggregation threads', () => aggregator.close());
  const abandonments = createAbandonments();
  listenForControl(subscriber, keys.control, (workKey) => abandonments.abandon(workKey));
  const deps: RequestDeps = {
    jobs,
    runs,
    collect,
    aggregator,
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

function startRefresh({ config, log, shutdown, pipeline }: WorkerParts): RunningWorker {
  const provider = createProvider(config, pipeline);
  shutdown.add('clients', 'provider', () => provider.close());
  const gate = createGate(pipeline, log);
  shutdown.add('work', 'upstream gate', () => gate.stop());
  const usage = createUsageTally({ queries: createUsageQueries(pipeline.knex), log });
  shutdown.add('queues', 'usage', () => usage.close());
  const { demand, store, publisher, kick, clock, keys } = pipeline;
  return createWorker({
    queue: 'refresh',
    processors: createRefreshProcessors({
      provider,
      gate,
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

function startUpkeep({ config, log, pipeline }: WorkerParts): RunningWorker {
  const accessPurge = createAccessPurge(pipeline.knex);
  return createWorker({
    queue: 'upkeep',
    processors: createUpkeepProcessors({
      runs: pipeline.runs,
      queues: pipeline.queues,
      log,
      retentionSeconds: config.JOB_RETENTION,
      purgeLedger: () =>
        pipeline.ledger.purge(new Date(pipeline.clock.now() - ledgerRetentionSeconds * 1000)),
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

/** Calls are counted for the whole fleet, so that every API process can show them. */
function createGate({ budget, redis, keys }: Pipeline, log: Logger): UpstreamGate {
  return createUpstreamGate({
    budget,
    log,
    onCall: ({ outcome, urgency, durationMs }) => {
      log.debug({ outcome, urgency, durationMs }, 'upstream call');
      redis.hincrby(keys.upstreamCalls, outcome, 1).catch((error: unknown) => {
        log.debug({ reason: messageOf(error) }, 'an upstream call was not counted');
      });
    },
  });
}

const rootOfPlan = {
  keyless: 'https://api.coingecko.com/api/v3',
  demo: 'https://api.coingecko.com/api/v3',
  pro: 'https://pro-api.coingecko.com/api/v3',
} as const;

function createProvider(config: Config, { clock }: Pipeline): PriceProvider {
  const { PROVIDER = 'simulated', COINGECKO_PLAN: plan, COINGECKO_BASE_URL: given } = config;
  if (PROVIDER !== 'coingecko' && given === undefined) {
    throw new Error(
      `PROVIDER=${PROVIDER} needs the embedded market: run \`npm start\`, or set COINGECKO_BASE_URL to one`,
    );
  }
  return createCoinGeckoProvider({
    baseUrl: given ?? rootOfPlan[plan],
    plan,
    ...(config.COINGECKO_API_KEY === undefined ? {} : { apiKey: config.COINGECKO_API_KEY }),
    timeoutMs: config.UPSTREAM_TIMEOUT_MS,
    maxBodyBytes: config.UPSTREAM_MAX_BODY_BYTES,
    source: PROVIDER,
    clock,
  });
}

main();
