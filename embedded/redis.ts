/** A private Redis: a real server as a child process, on a loopback port, with a random password and its own folder. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Logger } from '../src/platform/observability/logger.ts';
import { messageOf } from '../src/domain/errors.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { startChild, tailOf, type ChildExit, type OwnedChild, type StopPlan } from './child.ts';
import { freePort } from './free-port.ts';
import { endStaleProcess } from './stale-process.ts';
import {
  findOrProvisionRedisBinary,
  redisEnvironment,
  sharedRedisFolder,
  type RedisBinary,
} from './redis-binary.ts';
import { StartError } from './start-error.ts';

export interface EmbeddedRedis {
  /** Carries the password, which stays the same for a data folder. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Version of the server, such as `7.0.15`. */
  readonly version: string;
  readonly exited: Promise<ChildExit>;
  /** Flushes and ends the server. Resolves when the process is gone. */
  stop(): Promise<void>;
}

/** Loading a large append-only file takes a while, and the server answers LOADING meanwhile. */
const readyTimeoutMs = 60_000;
const pollMs = 10;
const stopPlan: StopPlan = [['SIGTERM', 8_000]];

/**
 * Starts the Redis of a data folder and resolves when it answers. Started again on the folder of a killed one it has what
 * that one had flushed (at most the last second is missing).
 * @throws {StartError} that says why it did not start, or how to get a server where there is none.
 */
export async function startRedis(options: {
  /** Folder of all embedded parts; Redis lives in `redis/` in it. */
  readonly dataDir: string;
  /** A free one when absent. Give the same again to let clients find a restarted server. */
  readonly port?: number | undefined;
  readonly log: Logger;
  /** For tests: nothing is written to disk, and {@link EmbeddedRedis.stop} deletes the folder. */
  readonly throwaway?: boolean;
}): Promise<EmbeddedRedis> {
  const { log, throwaway = false } = options;
  await mkdir(options.dataDir, { recursive: true });
  const dataDir = await realpath(options.dataDir);
  const binary = await findOrProvisionRedisBinary({ log, folders: [sharedRedisFolder, dataDir] });
  const home = join(dataDir, 'redis');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const config = join(home, 'redis.conf');
  if (await endStaleRedis(home, config)) log.warn('stopped a Redis left behind by an earlier run');
  const password = await passwordOf(home);
  const port = options.port ?? (await freePort());
  await writeFile(config, configText({ home, port, password, throwaway }), { mode: 0o600 });
  const child = await launch(binary, home, config);
  const url = `redis://:${password}@127.0.0.1:${port}`;
  try {
    await untilReady(url, child, join(home, 'redis.log'));
  } catch (error) {
    await child.stop(stopPlan);
    throw error;
  }
  const stop = async (): Promise<void> => {
    await child.stop(stopPlan);
    if (throwaway) await rm(home, { recursive: true, force: true });
  };
  return { url, port, pid: child.pid, version: binary.version, exited: child.exited, stop };
}

async function launch(binary: RedisBinary, home: string, config: string): Promise<OwnedChild> {
  const child = await startChild({
    command: binary.command,
    args: [config],
    env: redisEnvironment(binary.libraryPath),
    logFile: join(home, 'redis.log'),
    guardSignal: 'TERM',
  });
  await writeFile(join(home, 'pid'), String(child.pid));
  return child;
}

async function endStaleRedis(home: string, config: string): Promise<boolean> {
  const pid = Number.parseInt(await readFile(join(home, 'pid'), 'utf8').catch(() => ''), 10);
  return Number.isInteger(pid) && pid > 1 && (await endStaleProcess({ pid, mark: config, plan: stopPlan }));
}

async function passwordOf(home: string): Promise<string> {
  const file = join(home, 'password');
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.trim() !== '') return kept.trim();
  const password = randomBytes(24).toString('base64url');
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  return password;
}

function configText({
  home,
  port,
  password,
  throwaway,
}: {
  readonly home: string;
  readonly port: number;
  readonly password: string;
  readonly throwaway: boolean;
}): string {
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    `dir "${home.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
    'daemonize no',
    'supervised no',
    'pidfile ""',
    'save ""',
    `appendonly ${throwaway ? 'no' : 'yes'}`,
    'appendfsync everysec',
    'maxmemory-policy noeviction',
    // The command line is how a later start recognises that a process is ours.
    'set-proc-title no',
  ];
  return `${lines.join('\n')}\n`;
}

async function untilReady(url: string, child: OwnedChild, logFile: string): Promise<void> {
  const ended = child.exited.then(() => true as const);
  const until = Date.now() + readyTimeoutMs;
  for (;;) {
    const reason = await reasonNotReady(url);
    if (reason === undefined) return;
    const gone = await Promise.race([ended, sleep(pollMs).then(() => false as const)]);
    if (gone || Date.now() > until) {
      const what = gone ? 'exited while starting' : `did not answer in ${readyTimeoutMs} ms (${reason})`;
      throw new StartError(`The embedded Redis ${what}. End of ${logFile}:\n${await tailOf(logFile)}`);
    }
  }
}

async function reasonNotReady(url: string): Promise<string | undefined> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.ping();
    return undefined;
  } catch (error) {
    return messageOf(error);
  } finally {
    client.disconnect();
  }
}
