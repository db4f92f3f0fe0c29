/**
 * Everything that one start runs, in its order: Postgres, Redis and the market side by side, then the migrations, then API
 * and worker. Stopping goes the other way: API and worker first, while what they need is still there.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { migrate } from '../db/migrate.ts';
import { checkConnection, openDatabase } from '../db/connection.ts';
import {
  removeEmbeddedUrls,
  writeEmbeddedUrls,
  type EmbeddedUrls,
} from '../src/platform/config/embedded-urls.ts';
import type { Config } from '../src/platform/config/load-config.ts';
import { primaryLimits } from '../src/platform/config/upstream-limits.ts';
import { messageOf } from '../src/domain/errors.ts';
import { createLogger, type Logger } from '../src/platform/observability/logger.ts';
import { freePort, isPortFree } from './free-port.ts';
import { keptJwtSecret, replayFolderOf, type Plan } from './plan.ts';
import { startMarket } from './market/market.ts';
import { startPostgres } from './postgres.ts';
import { startProgram } from './program.ts';
import { startRedis } from './redis.ts';
import { StartError } from './start-error.ts';
import { supervise, type Part } from './supervise.ts';

/** Modules of the processes that do the work. */
export interface Scripts {
  readonly api: string;
  readonly worker: string;
}

interface StackOptions {
  readonly config: Config;
  readonly plan: Plan;
  readonly dataDir: string;
  /** Passed on to API and worker, with what is embedded added. */
  readonly environment: NodeJS.ProcessEnv;
  readonly scripts: Scripts;
  readonly port: number;
  readonly say: (message: string) => void;
  readonly giveUp: (reason: string) => void;
}

export interface Stack {
  /** Folder of the logs of all parts. */
  readonly logDir: string;
  /** @throws {Error} when a part cannot be started. What runs already is ended by {@link Stack.stop}. */
  start(): Promise<void>;
  /** Ends whatever was started, in order. Never rejects. */
  stop(): Promise<void>;
}

type Phase = 'programs' | 'market' | 'redis' | 'postgres';
const stopOrder: readonly Phase[] = ['programs', 'market', 'redis', 'postgres'];

/** What starting one part needs. */
interface Context extends StackOptions {
  readonly started: ReturnType<typeof createStarted>;
  readonly log: Logger;
  readonly logDir: string;
}

/** Prepares a stack; nothing runs yet. */
export function createStack(options: StackOptions): Stack {
  const logDir = join(options.dataDir, 'logs');
  const log = createLogger({ level: 'info', name: 'embedded', file: join(logDir, 'embedded.log') });
  const started = createStarted(options.say);
  const context: Context = { ...options, started, log, logDir };
  return { logDir, start: () => start(context), stop: () => started.closeAll() };
}

async function start(context: Context): Promise<void> {
  await mkdir(context.logDir, { recursive: true });
  for (const kind of ['api', 'worker']) await rm(logFileOf(context, kind), { force: true });
  await removeEmbeddedUrls(context.dataDir);
  const parts = [startDatabase(context), startQueueStore(context), startPrices(context)];
  const [database, redis, market] = await allOrFirstError(parts);
  await migrateTo(database, context.config);
  const env = {
    ...context.environment,
    PORT: String(context.port),
    PROVIDER: context.plan.provider,
    JWT_SECRET: context.config.JWT_SECRET ?? (await keptJwtSecret(context.dataDir)),
    ...(database === undefined ? {} : { DATABASE_URL: database }),
    ...(redis === undefined ? {} : { REDIS_URL: redis }),
    ...(market === undefined ? {} : { COINGECKO_BASE_URL: market }),
  };
  await allOrFirstError([startScript(context, 'api', env), startScript(context, 'worker', env)]);
  await tellUrls(context, { database, redis, market });
}

/** For commands that run at the same time, such as the one that creates an admin. */
async function tellUrls(
  { dataDir, started }: Context,
  urls: { readonly [N in keyof EmbeddedUrls]: string | undefined },
): Promise<void> {
  const known = Object.entries(urls).filter(([, url]) => url !== undefined);
  if (known.length === 0) return;
  await writeEmbeddedUrls(dataDir, Object.fromEntries(known));
  await started.add('programs', () => removeEmbeddedUrls(dataDir));
}

/** Parts that have been started and must be ended. */
function createStarted(say: (message: string) => void) {
  const closers: { phase: Phase; close: () => Promise<void> }[] = [];
  let closed = false;
  return {
    /** Ends it at once if the stop has already passed it. */
    add: async (phase: Phase, close: () => Promise<void>): Promise<void> => {
      if (closed) await close();
      else closers.push({ phase, close });
    },
    closeAll: async (): Promise<void> => {
      closed = true;
      for (const phase of stopOrder) {
        const ending = closers.filter((closer) => closer.phase === phase);
        await Promise.all(
          ending.map(({ close }) => close().catch((error: unknown) => say(messageOf(error)))),
        );
      }
    },
  };
}

async function keep(
  { say, giveUp, started }: Context,
  part: { readonly phase: Phase; readonly name: string; readonly start: () => Promise<Part> },
): Promise<void> {
  const supervised = await supervise({ name: part.name, start: part.start, say, giveUp });
  await started.add(part.phase, () => supervised.stop());
}

/** @returns the connection string of the embedded Postgres; undefined when one is configured. */
async function startDatabase(context: Context): Promise<string | undefined> {
  if (!context.plan.postgres) return undefined;
  const options = { dataDir: context.dataDir, port: await freePort(), log: context.log };
  let url: string | undefined;
  const startOnce = async (): Promise<Part> => {
    const postgres = await startPostgres(options);
    url = postgres.url;
    return postgres;
  };
  await keep(context, { phase: 'postgres', name: 'Postgres', start: startOnce });
  return url;
}

/** @returns the connection string of the embedded Redis; undefined when one is configured. */
async function startQueueStore(context: Context): Promise<string | undefined> {
  if (!context.plan.redis) return undefined;
  const options = { dataDir: context.dataDir, port: await freePort(), log: context.log };
  let url: string | undefined;
  const startOnce = async (): Promise<Part> => {
    const redis = await startRedis(options);
    url = redis.url;
    return redis;
  };
  await keep(context, { phase: 'redis', name: 'Redis', start: startOnce });
  return url;
}

/** @returns the root URL of the market; undefined when a real provider is configured. */
async function startPrices(context: Context): Promise<string | undefined> {
  const { config, plan, started } = context;
  if (plan.market === undefined) return undefined;
  const market = await startMarket({
    port: await marketPort(context),
    seed: config.MARKET_SEED,
    callsPerMinute: primaryLimits(config).callsPerMinute,
    ...(plan.market === 'replay'
      ? { replay: { dir: replayFolderOf(config), speed: config.REPLAY_SPEED } }
      : {}),
  }).catch((error: unknown) => {
    throw new StartError(`The simulated market could not be started: ${messageOf(error)}`, error);
  });
  await started.add('market', () => market.close());
  return market.url;
}

function logFileOf({ logDir }: Context, kind: string): string {
  return join(logDir, `${kind}.log`);
}

async function startScript(context: Context, kind: keyof Scripts, env: NodeJS.ProcessEnv): Promise<void> {
  const logFile = logFileOf(context, kind);
  const startOnce = (): Promise<Part> => startProgram({ script: context.scripts[kind], env, logFile });
  await keep(context, {
    phase: 'programs',
    name: kind === 'api' ? 'The API' : 'The worker',
    start: startOnce,
  });
}

/** Waits for all, so that whatever did start is registered for stopping before the error gets out. */
async function allOrFirstError<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

async function migrateTo(embedded: string | undefined, config: Config): Promise<void> {
  const database =
    embedded === undefined ? config.database : { connectionString: embedded, ssl: false as const };
  if (database === undefined)
    throw new StartError('There is no database to migrate: set DATABASE_URL or DB_HOST');
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    await checkConnection(knex, { database });
    await migrate(knex);
  } catch (error) {
    const where = embedded === undefined ? 'the configured Postgres' : 'the embedded Postgres';
    throw new StartError(`The schema of ${where} could not be migrated: ${messageOf(error)}`, error);
  } finally {
    await knex.destroy();
  }
}

/** The default port gives way to a free one, since no user needs to know it; a configured port does not. */
async function marketPort({ config, environment, port: apiPort }: Context): Promise<number> {
  const port = config.MARKET_PORT;
  if (port === 0 || (port !== apiPort && (await isPortFree(port)))) return port;
  if ((environment.MARKET_PORT ?? '') === '') return 0;
  throw new StartError(
    `Port ${port} of the simulated market is taken. Choose another one with MARKET_PORT (0: any free one).`,
  );
}
