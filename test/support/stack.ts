import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isBuildCurrent } from '../../embedded/build-state.ts';
import { freePort } from '../../embedded/free-port.ts';
import { startMarket, type Market, type MarketOptions } from '../../embedded/market/market.ts';
import { startPostgres } from '../../embedded/postgres.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { startRedis, type EmbeddedRedis } from '../../embedded/redis.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createTestDatabase, executeOn, migrateDatabase } from './database.ts';
import { uniquePrefix } from './redis.ts';
import { services } from './services.ts';
import { waitFor } from './wait-for.ts';

/**
 * A whole deployment of real processes on loopback: a database of its own, Redis (shared by prefix, or one of its own that
 * may be killed), a market in this process, and any number of API and worker processes that tests may stop and kill.
 */
export interface Stack {
  readonly market: Market;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly redisPrefix: string;
  /** Only with `ownRedis`. */
  readonly redis: ServerControl | undefined;
  /** Only with `ownPostgres`. */
  readonly postgres: ServerControl | undefined;
  readonly apis: StackProcess[];
  readonly workers: StackProcess[];
  startApi(environment?: Environment): Promise<StackProcess>;
  startWorker(environment?: Environment): Promise<StackProcess>;
  /** Ends an API with SIGTERM, or kills it, and starts it again on its port; the new one takes its place in `apis`. */
  restartApi(running: StackProcess, signal?: EndSignal): Promise<StackProcess>;
  /** As {@link Stack.restartApi}, a worker. */
  restartWorker(running: StackProcess, signal?: EndSignal): Promise<StackProcess>;
  /** Ends everything; fails when a process had to be killed or did not exit with 0, unless a test ended it. */
  stop(): Promise<void>;
}

export interface StackProcess {
  readonly pid: number;
  /** `http://127.0.0.1:<port>` of an API; empty for a worker. */
  readonly url: string;
  /** Resolves with exit code and signal. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  isRunning(): boolean;
  /** Sends a signal; the stack then no longer expects a clean end of this process. */
  kill(signal: NodeJS.Signals): void;
  /** What it has logged so far. */
  log(): Promise<string>;
}

type EndSignal = 'SIGTERM' | 'SIGKILL';

/** A server of a stack's own. */
export interface ServerControl {
  /** SIGKILL to Redis; Postgres ends at once and recovers at its next start. */
  kill(): Promise<void>;
  /** The same data, port and password. */
  restart(): Promise<void>;
}

type Environment = Readonly<Record<string, string>>;

export interface StackOptions {
  readonly apis?: number;
  readonly workers?: number;
  readonly market?: MarketOptions;
  readonly environment?: Environment;
  /** A Redis with an append-only file that the test may kill and restart. */
  readonly ownRedis?: boolean;
  /** A Postgres that the test may kill and restart. */
  readonly ownPostgres?: boolean;
  /** Another provider URL than the market's, such as a proxy's. */
  readonly providerUrl?: string;
}

/** What the processes of every stack sign tokens with. */
export const stackSecret = 'a secret of the tests, long enough to be taken';

/** Limits are the business of the tests that set them; benches count under them without meeting them. */
const noLimits: Environment = {
  RATE_LIMIT_USER: '100000000',
  RATE_LIMIT_KEY: '100000000',
  RATE_LIMIT_ADDRESS: '100000000',
  REGISTRATIONS_PER_HOUR: '1000000',
  JOB_BACKLOG_PER_USER: '10000000',
};

/** Calls are counted: none may come along that the test knows nothing of. Tests of the list of assets turn it on. */
const noAssetList: Environment = { ASSET_SYNC: 'off' };

/** Of one process among several that start at once on a busy machine. */
const startDeadlineMs = 90_000;
/** Longer than the deadline (10 s) at which a process ends itself. */
const stopDeadlineMs = 60_000;
let stacks = 0;

/** Starts a stack and resolves when every process is ready. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const folder = join(projectRoot, '.pricepool', `stack-${process.pid}-${++stacks}`);
  await mkdir(folder, { recursive: true });
  const ownPostgres = options.ownPostgres === true ? await startOwnPostgres(folder) : undefined;
  const database =
    ownPostgres === undefined
      ? await createTestDatabase()
      : { url: ownPostgres.url, drop: () => ownPostgres.stop() };
  const own = options.ownRedis === true ? await startOwnRedis(folder) : undefined;
  const redisUrl = own?.url ?? (await services()).redisUrl;
  const market = await startMarket({ latencyMs: 20, madeUpAssets: 20_000, ...options.market });
  const redisPrefix = uniquePrefix();
  const base: Environment = {
    APP_ENV: 'test',
    DATABASE_URL: database.url,
    REDIS_URL: redisUrl,
    REDIS_KEY_PREFIX: redisPrefix,
    PROVIDER: 'simulated',
    COINGECKO_BASE_URL: options.providerUrl ?? market.url,
    // Fallbacks are off unless a test names them; then they are this market too.
    COINMARKETCAP_BASE_URL: market.coinMarketCapUrl,
    DEFILLAMA_BASE_URL: market.defiLlamaUrl,
    JWT_SECRET: stackSecret,
    BCRYPT_COST: '4',
    ...noLimits,
    ...noAssetList,
    LOG_LEVEL: 'info',
    // Calls are counted by many tests; those of warming turn it on.
    WARMING: 'off',
    ...options.environment,
  };
  const apis: StackProcess[] = [];
  const workers: StackProcess[] = [];
  const environmentOf = new Map<StackProcess, Environment>();
  const start = async (kind: 'api' | 'worker', extra: Environment): Promise<StackProcess> => {
    const list = kind === 'api' ? apis : workers;
    const logFile = join(folder, `${kind}-${list.length + 1}.log`);
    const environment = { ...base, LOG_FILE: logFile, ...extra };
    const started = await startProcess({ kind, environment });
    environmentOf.set(started, environment);
    list.push(started);
    return started;
  };
  const restart = async (
    kind: 'api' | 'worker',
    running: StackProcess,
    signal: EndSignal,
  ): Promise<StackProcess> => {
    const environment = environmentOf.get(running) ?? base;
    if (running.isRunning()) running.kill(signal);
    await waitFor(() => !running.isRunning(), { what: `the end of the ${kind}`, timeoutMs: stopDeadlineMs });
    const port = kind === 'api' ? { port: Number(new URL(running.url).port) } : {};
    const started = await startProcess({ kind, environment, ...port });
    environmentOf.set(started, environment);
    const list = kind === 'api' ? apis : workers;
    list.splice(list.indexOf(running), 1, started);
    return started;
  };

  const stack: Stack = {
    market,
    databaseUrl: database.url,
    redisUrl,
    redisPrefix,
    redis: own?.control,
    postgres: ownPostgres?.control,
    apis,
    workers,
    startApi: (extra = {}) => start('api', extra),
    startWorker: (extra = {}) => start('worker', extra),
    restartApi: (running, signal = 'SIGTERM') => restart('api', running, signal),
    restartWorker: (running, signal = 'SIGTERM') => restart('worker', running, signal),
    async stop() {
      const ends = await Promise.allSettled([...apis, ...workers].map(stopProcess));
      await market.close();
      await own?.stop();
      await database.drop();
      const failed = ends.find((end) => end.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      await rm(folder, { recursive: true, force: true });
    },
  };
  const starts = await Promise.allSettled([
    ...Array.from({ length: options.apis ?? 1 }, () => stack.startApi()),
    ...Array.from({ length: options.workers ?? 1 }, () => stack.startWorker()),
  ]);
  const failed = starts.find((each) => each.status === 'rejected');
  if (failed === undefined) return stack;
  // What has started would keep mocha from ending.
  await stack.stop().catch(() => undefined);
  throw failed.reason;
}

interface OwnServer {
  readonly url: string;
  readonly control: ServerControl;
  stop(): Promise<void>;
}

async function startOwnPostgres(folder: string): Promise<OwnServer> {
  const options = { dataDir: folder, log: silentLogger(), throwaway: true };
  let server = await startPostgres(options);
  const { url, port } = server;
  await migrateDatabase(url);
  // What is committed outlives a crash of the server (not of the machine).
  await executeOn(url, `alter database ${new URL(url).pathname.slice(1)} set synchronous_commit = on`);
  return {
    url,
    control: {
      async kill() {
        process.kill(server.pid, 'SIGQUIT');
        await server.exited;
      },
      async restart() {
        server = await startPostgres({ ...options, port });
      },
    },
    stop: () => server.stop(),
  };
}

async function startOwnRedis(folder: string): Promise<OwnServer> {
  const log = silentLogger();
  let server: EmbeddedRedis = await startRedis({ dataDir: folder, log });
  const { url, port } = server;
  return {
    url,
    control: {
      async kill() {
        process.kill(server.pid, 'SIGKILL');
        await server.exited;
      },
      async restart() {
        server = await startRedis({ dataDir: folder, port, log });
      },
    },
    stop: () => server.stop(),
  };
}

const expectedToEnd = new WeakSet<StackProcess>();

interface ProcessRequest {
  readonly kind: 'api' | 'worker';
  readonly environment: Environment;
  /** Of an API; any free one when absent. */
  readonly port?: number;
}

/**
 * Built when this is built (benches and coverage, which tsx would distort), or when the build is that of these sources: then
 * a process needs half the time to start. Else from source.
 */
function commandOf(kind: 'api' | 'worker'): string[] {
  const entry = kind === 'api' ? 'src/main' : 'workers/main';
  if (import.meta.url.endsWith('.js') || isBuildCurrent(projectRoot))
    return [join(projectRoot, 'dist', `${entry}.js`)];
  return ['--import', 'tsx', join(projectRoot, `${entry}.ts`)];
}

async function startProcess({ kind, environment, port: wanted }: ProcessRequest): Promise<StackProcess> {
  const port = kind === 'api' ? (wanted ?? (await freePort())) : 0;
  const child = spawn(process.execPath, commandOf(kind), {
    cwd: projectRoot,
    env: { ...process.env, ...environment, PORT: String(port) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const started = toStackProcess(
    child,
    port === 0 ? '' : `http://127.0.0.1:${port}`,
    environment['LOG_FILE'] ?? '',
  );
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${kind} did not start in ${startDeadlineMs} ms`));
    }, startDeadlineMs);
    child.once('message', () => {
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${kind} ended with ${code} while starting`));
    });
  });
  return started;
}

function toStackProcess(child: ChildProcess, url: string, logFile: string): StackProcess {
  const exited = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  const running: StackProcess = {
    pid: child.pid ?? 0,
    url,
    exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    kill(signal) {
      expectedToEnd.add(running);
      child.kill(signal);
    },
    log: () => readFile(logFile, 'utf8'),
  };
  return running;
}

async function stopProcess(running: StackProcess): Promise<void> {
  if (!running.isRunning()) {
    const { code, signal } = await running.exited;
    if (!expectedToEnd.has(running))
      throw new Error(`process ${running.pid} had ended by itself (${code ?? signal})`);
    return;
  }
  const wasKilled = expectedToEnd.has(running);
  running.kill('SIGCONT');
  running.kill('SIGTERM');
  try {
    await waitFor(() => !running.isRunning(), {
      what: `the end of process ${running.pid}`,
      timeoutMs: stopDeadlineMs,
    });
  } catch (error) {
    running.kill('SIGKILL');
    throw error;
  }
  const { code } = await running.exited;
  if (code !== 0 && !wasKilled) throw new Error(`process ${running.pid} ended with ${code}`);
}
