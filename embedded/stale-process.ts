/**
 * What a killed run left behind: a server that still holds a data folder. It may be ended only when it is surely ours,
 * because the pid in an old file may belong to somebody else by now.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StopPlan } from './child.ts';
import { StartError } from './start-error.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';

const pollMs = 25;
const killGraceMs = 5_000;

/** True when a process with this pid exists, under any owner. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A zombie has ended; only its parent has not asked for its exit code yet. */
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}

/** The command line of a process; empty when it is gone or cannot be read. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return psColumn(pid, 'command');
  }
}

function psColumn(pid: number, column: string): string {
  try {
    return execFileSync('ps', ['-ww', '-o', `${column}=`, '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return '';
  }
}

/**
 * When a process began, in words that only it has: a pid is used again, also by the next run in a container, but not
 * with the same time of birth. Empty when it is gone.
 */
export function birthOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Field 22 of proc(5), counted behind the name, which may hold blanks.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return psColumn(pid, 'lstart').trim();
  }
}

/**
 * Ends a server of an earlier run, if it is still there and surely ours.
 * @returns true when one was ended.
 * @throws {StartError} when it is ours and cannot be ended.
 */
export async function endStaleProcess({
  pid,
  mark,
  plan,
}: {
  /** What an old pid file says. */
  readonly pid: number;
  /** Text that only our process has in its command line: the path of its data or configuration. */
  readonly mark: string;
  readonly plan: StopPlan;
}): Promise<boolean> {
  if (!isAlive(pid) || !commandLineOf(pid).includes(mark)) return false;
  for (const [signal, graceMs] of [...plan, ['SIGKILL', killGraceMs] as const]) {
    signalQuietly(pid, signal);
    const until = Date.now() + graceMs;
    while (isAlive(pid) && Date.now() < until) await sleep(pollMs);
    if (!isAlive(pid)) return true;
  }
  throw new StartError(
    `Process ${pid} of an earlier run still uses ${mark} and could not be stopped; stop it by hand`,
  );
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself in between, or it is not ours to end; the caller looks whether it is gone.
  }
}

/** Fast shutdown (sessions are cut off, data is flushed), then immediate shutdown. */
export const postgresStopPlan: StopPlan = [
  ['SIGINT', 8_000],
  ['SIGQUIT', 2_000],
];

/**
 * Stops a Postgres of a killed run that still holds `cluster`, and removes a pid file that names an unrelated process: Postgres
 * itself would refuse to start because of it.
 * @returns true when a server was stopped.
 */
export async function endStalePostgres(cluster: string): Promise<boolean> {
  const pidFile = join(cluster, 'postmaster.pid');
  const text = await readFile(pidFile, 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  const pid = Number.parseInt(text, 10);
  if (!Number.isInteger(pid) || pid <= 1) return false;
  const ended = await endStaleProcess({ pid, mark: cluster, plan: postgresStopPlan });
  await rm(pidFile, { force: true });
  return ended;
}
