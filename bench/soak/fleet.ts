/**
 * What the soak runs on: two APIs and two workers over a Postgres and a Redis of its own, both behind proxies that can freeze
 * connections, a market that counts its calls, and logs on a small disk that can be filled where the system allows it.
 */
import { execFile } from 'node:child_process';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openBackstage, type Backstage } from '../../test/support/backstage.ts';
import { clockByFile, clockOffBy } from '../../test/support/faketime.ts';
import type { Stack, StackProcess } from '../../test/support/stack.ts';
import { startTcpProxy, type TcpProxy } from '../../test/support/tcp-proxy.ts';
import type { Bench } from '../support/bench.ts';

/** Calls that the market allows in any 60 s. */
export const callsPerMinute = 30;
export const freshSeconds = 10;
/** Prices of the market change so often. */
export const stepMs = 1_000;
export const marketOptions = { seed: 7, madeUpAssets: 2_000, walkIntervalMs: stepMs } as const;

const kinds = ['api', 'api', 'worker', 'worker'] as const;
const startAttempts = 3;
const diskSize = '64m';
const run = promisify(execFile);

/** The place of a process, which keeps its name while processes come and go. */
export interface Slot {
  readonly name: string;
  readonly kind: 'api' | 'worker';
  process: StackProcess;
  /** While it is killed and started again, or stopped. */
  isDown: boolean;
}

/** The running deployment. */
export interface Fleet {
  readonly stack: Stack;
  readonly slots: readonly Slot[];
  readonly proxies: { readonly redis: TcpProxy; readonly postgres: TcpProxy };
  readonly backstage: Backstage;
  /** Kills a process and starts it again in its place. */
  restart(slot: Slot): Promise<void>;
  /** Ends of processes that nobody had asked for; they were started again, as a process manager does. */
  readonly endedByThemselves: string[];
  /** Sets the clock of the second worker off by so many seconds; undefined where libfaketime is not there. */
  readonly setClock: ((offsetSeconds: number) => Promise<void>) | undefined;
  /** Fills the disk of the logs, or makes room again; undefined where no small disk could be mounted. */
  readonly fillLogs: ((full: boolean) => Promise<void>) | undefined;
  /** Folder of the logs. */
  readonly logs: string;
}

/** Starts everything; it ends with the bench. */
export async function startFleet(bench: Bench, webhookSecret: string): Promise<Fleet> {
  const folder = join(tmpdir(), `pricepool-soak-${process.pid}`);
  const logs = join(folder, 'logs');
  await mkdir(logs, { recursive: true });
  const isSmallDisk = await mountSmallDisk(bench, logs);
  bench.onEnd(async () => {
    if (process.exitCode !== undefined && process.exitCode !== 0) {
      await run('cp', ['-r', logs, `${folder}-logs`]);
      bench.say(`The logs are in ${folder}-logs`);
    }
    if (isSmallDisk) await run('umount', [logs]);
    await rm(folder, { recursive: true, force: true });
  });
  const stack = await bench.stack({
    apis: 0,
    workers: 0,
    ownRedis: true,
    ownPostgres: true,
    market: { ...marketOptions, latencyMs: { min: 50, max: 300 } },
    environment: {
      UPSTREAM_CALLS_PER_MINUTE: String(callsPerMinute),
      QUOTE_TTL: `${freshSeconds}s`,
      UPSTREAM_TIMEOUT: '3s',
      JOB_DEADLINE: '60s',
      JWT_EXPIRES_IN: '12h',
      WARMING: 'on',
      WEBHOOK_ALLOWED_NETWORKS: 'loopback',
      WEBHOOK_SECRET: webhookSecret,
    },
  });
  const proxies = {
    redis: await startTcpProxy(stack.redisUrl),
    postgres: await startTcpProxy(stack.databaseUrl),
  };
  bench.onEnd(() => Promise.all([proxies.redis.close(), proxies.postgres.close()]));
  const backstage = openBackstage(stack);
  bench.onEnd(() => backstage.close());

  const clock = join(folder, 'clock');
  await writeFile(clock, '+0s');
  const hasFakeTime = clockOffBy(1) !== undefined;
  const endedByThemselves: string[] = [];
  let isEnding = false;
  bench.onEnd(() => void (isEnding = true));

  const watch = (slot: Slot): void => {
    const watched = slot.process;
    void watched.exited.then(async ({ code, signal }) => {
      if (isEnding || slot.isDown || slot.process !== watched) return;
      endedByThemselves.push(`${slot.name} (${code ?? signal ?? ''})`);
      bench.say(`${slot.name} has ended by itself with ${code ?? signal ?? ''}`);
      await restart(slot).catch((error: unknown) => bench.say(String(error)));
    });
  };
  const restart = async (slot: Slot): Promise<void> => {
    slot.isDown = true;
    const startAgain = (): Promise<StackProcess> =>
      slot.kind === 'api'
        ? stack.restartApi(slot.process, 'SIGKILL')
        : stack.restartWorker(slot.process, 'SIGKILL');
    // On a machine that is short of cores a start may take too long.
    for (let left = startAttempts; slot.isDown; left -= 1)
      try {
        slot.process = await startAgain();
        slot.isDown = false;
      } catch (error) {
        if (left <= 1) throw error;
      }
    watch(slot);
  };
  const slots = await Promise.all(
    kinds.map(async (kind, index): Promise<Slot> => {
      const name = `${kind}-${(index % 2) + 1}`;
      const environment = {
        DATABASE_URL: proxies.postgres.url,
        REDIS_URL: proxies.redis.url,
        LOG_FILE: join(logs, `${name}.log`),
        ...(name === 'worker-2' && hasFakeTime ? clockByFile(clock) : {}),
      };
      const started = await (kind === 'api' ? stack.startApi(environment) : stack.startWorker(environment));
      return { name, kind, process: started, isDown: false };
    }),
  );
  slots.forEach(watch);
  return {
    stack,
    slots,
    proxies,
    backstage,
    restart,
    endedByThemselves,
    logs,
    setClock: hasFakeTime
      ? (offset) => writeFile(clock, `${offset < 0 ? '-' : '+'}${Math.abs(offset)}s`)
      : undefined,
    fillLogs: isSmallDisk ? (full) => fill(logs, full) : undefined,
  };
}

/** @returns whether there is one; a user who may not mount has none. */
async function mountSmallDisk(bench: Bench, folder: string): Promise<boolean> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${diskSize}`, 'none', folder]);
    return true;
  } catch {
    bench.say('Left out: a full disk for logs, because no tmpfs can be mounted here');
    return false;
  }
}

async function fill(folder: string, full: boolean): Promise<void> {
  const ballast = join(folder, 'ballast');
  if (!full) {
    await rm(ballast, { force: true });
    return;
  }
  const { bavail, bsize } = await statfs(folder);
  // The last bytes fail, which is what is wanted.
  await writeFile(ballast, Buffer.alloc((bavail + 16) * bsize)).catch(() => undefined);
}
