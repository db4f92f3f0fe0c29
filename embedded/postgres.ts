/**
 * A private Postgres: the real server from npm, on a loopback port, with a random password. A cluster is made in a folder
 * of its own and then renamed, so that an interrupted first start leaves nothing that looks like a cluster.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { messageOf } from '../src/domain/errors.ts';
import type { Logger } from '../src/platform/observability/logger.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { startChild, tailOf, type ChildExit, type OwnedChild, type StopPlan } from './child.ts';
import { freePort } from './free-port.ts';
import { endStalePostgres, postgresStopPlan } from './stale-process.ts';
import { placePostgres, type PostgresPlace } from './postgres-place.ts';
import { StartError } from './start-error.ts';

const user = 'pricepool';
const initialiseTimeoutMs = 60_000;
/** Recovery after a crash replays the log since the last checkpoint. */
const readyTimeoutMs = 60_000;
const pollMs = 20;
const connectTimeoutMs = 2_000;
const throwawayStopPlan: StopPlan = [
  ['SIGINT', 3_000],
  ['SIGQUIT', 1_000],
];
const runFile = promisify(execFile);

/**
 * Starts the Postgres of a data folder and resolves when it accepts queries.
 * @throws {StartError} that says why it did not start, with the end of its log.
 */
export async function startPostgres(options: {
  /** Folder of all embedded parts; the cluster goes to `postgres/` in it, or to a place that its user can reach. */
  readonly dataDir: string;
  /** A free one when absent. */
  readonly port?: number | undefined;
  readonly log: Logger;
  /** For tests: nothing is flushed to disk, and `stop` deletes the files. */
  readonly throwaway?: boolean;
}): Promise<{
  /** Connection string of the database `pricepool`. */
  readonly url: string;
  /** Connection string of the database `postgres`, of the same superuser. */
  readonly adminUrl: string;
  readonly port: number;
  readonly pid: number;
  readonly exited: Promise<ChildExit>;
  /** Fast shutdown. Resolves when the process is gone. */
  stop(): Promise<void>;
}> {
  const { log, throwaway = false } = options;
  const place = await placePostgres(options.dataDir, throwaway);
  const cluster = join(place.home, 'cluster');
  if (await endStalePostgres(cluster)) log.warn('stopped a Postgres left behind by an earlier run');
  const password = await passwordOf(place);
  if (!isCluster(cluster)) await initialise(place, throwaway);
  const port = options.port ?? (await freePort());
  const child = await startServer(place, port, throwaway);
  const adminUrl = `postgres://${user}:${password}@127.0.0.1:${port}/postgres`;
  try {
    await untilReady(adminUrl, child, join(place.home, 'postgres.log'));
  } catch (error) {
    await child.stop(throwawayStopPlan);
    throw error;
  }
  const stop = async (): Promise<void> => {
    await child.stop(throwaway ? throwawayStopPlan : postgresStopPlan);
    if (throwaway) await rm(place.home, { recursive: true, force: true });
  };
  const url = `postgres://${user}:${password}@127.0.0.1:${port}/${user}`;
  return { url, adminUrl, port, pid: child.pid, exited: child.exited, stop };
}

/** Also repairs the ownership of a file whose writing was interrupted: initdb reads it as the user it runs as. */
async function passwordOf({ home, identity }: PostgresPlace): Promise<string> {
  const file = join(home, 'password');
  let password = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (password === '') {
    if (isCluster(join(home, 'cluster'))) {
      throw new StartError(
        `${file} is missing, so the database in ${home} cannot be opened; restore it or delete ${home}`,
      );
    }
    password = randomBytes(24).toString('base64url');
    await writeFile(file, `${password}\n`, { mode: 0o600 });
  }
  if (identity !== undefined) await chown(file, identity.uid, identity.gid);
  return password;
}

function isCluster(folder: string): boolean {
  return existsSync(join(folder, 'PG_VERSION'));
}

async function initialise({ home, binaries, identity }: PostgresPlace, throwaway: boolean): Promise<void> {
  for (const name of await readdir(home)) {
    if (name.startsWith('cluster')) await rm(join(home, name), { recursive: true, force: true });
  }
  const half = join(home, `cluster.${process.pid}`);
  await mkdir(half, { mode: 0o700 });
  if (identity !== undefined) await chown(half, identity.uid, identity.gid);
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const sync = throwaway ? ['--no-sync'] : [];
  const args = [
    '-D',
    half,
    '-U',
    user,
    '-A',
    'scram-sha-256',
    `--pwfile=${join(home, 'password')}`,
    ...locale,
    ...sync,
  ];
  try {
    await runFile(binaries.initdb, args, {
      cwd: '/',
      env: serverEnvironment(),
      timeout: initialiseTimeoutMs,
      killSignal: 'SIGKILL',
      ...identity,
    });
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    throw new StartError(`The embedded Postgres could not be initialised in ${home}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  await rename(half, join(home, 'cluster'));
}

async function startServer(place: PostgresPlace, port: number, throwaway: boolean): Promise<OwnedChild> {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 200,
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(throwaway ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return startChild({
    command: place.binaries.postgres,
    args: ['-D', join(place.home, 'cluster'), ...flags],
    env: serverEnvironment(),
    identity: place.identity,
    logFile: join(place.home, 'postgres.log'),
    guardSignal: 'INT',
  });
}

/** Nothing of our own environment: PGDATA, PGPORT or a locale that is not installed would change what the server does. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
}

/** Resolves when the server accepts queries and has the database. */
async function untilReady(url: string, child: OwnedChild, logFile: string): Promise<void> {
  const ended = child.exited.then(() => true as const);
  const until = Date.now() + readyTimeoutMs;
  for (;;) {
    const reason = await reasonNotReady(url);
    if (reason === undefined) return;
    const gone = await Promise.race([ended, sleep(pollMs).then(() => false as const)]);
    if (gone || Date.now() > until) {
      const what = gone
        ? 'exited while starting'
        : `did not accept queries in ${readyTimeoutMs} ms (${reason})`;
      throw new StartError(`The embedded Postgres ${what}. End of ${logFile}:\n${await tailOf(logFile)}`);
    }
  }
}

async function reasonNotReady(url: string): Promise<string | undefined> {
  try {
    await ensureDatabase(url);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

async function ensureDatabase(adminUrl: string): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [user]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(user)}`);
  });
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: connectTimeoutMs });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end();
  }
}
