/** What the operating system says of processes, and where they run. Linux only; elsewhere figures are NaN and nothing is pinned. */
import { once } from 'node:events';
import { spawn, spawnSync, type ChildProcess, type Serializable } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { freePort } from '../../embedded/free-port.ts';
import { withDeadline } from '../../src/platform/concurrency/deadline.ts';

/** Clock ticks a second of /proc: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** CPU time (µs) that a process has used, all its threads included; NaN when it cannot be told. */
export function cpuMicros(pid: number): number {
  try {
    // The name in parentheses may hold spaces; what follows it does not.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) * 1e6) / ticksPerSecond;
  } catch {
    return NaN;
  }
}

/** Whether one side of a measurement can have a core of its own. */
export function canPin(): boolean {
  return availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;
}

/** Keeps all threads of a process on one core; false when it cannot be done. */
export function pin(pid: number, core: number): boolean {
  return canPin() && spawnSync('taskset', ['-a', '-c', '-p', String(core), String(pid)]).status === 0;
}

/** Whether a command is on PATH. */
export function isOnPath(command: string): boolean {
  return spawnSync(command, ['--version']).error === undefined;
}

/** A server that a bench compares with. */
export interface BareProcess {
  readonly pid: number;
  readonly url: string;
  /** Has a channel for messages. */
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

const startDeadlineMs = 15_000;
const stopGraceMs = 5_000;

/** Starts a module of `bench/` as a process of its own and resolves when it has said that it is ready. */
export async function startBare(
  module: string,
  environment: Readonly<Record<string, string>>,
  nodeFlags: readonly string[] = [],
): Promise<BareProcess> {
  const port = await freePort();
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const script = new URL(`../${module}.${extension}`, import.meta.url).pathname;
  const loader = extension === 'ts' ? ['--import', 'tsx'] : [];
  const child = spawn(process.execPath, [...nodeFlags, ...loader, script], {
    env: { ...process.env, ...environment, PORT: String(port) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${module} did not start`)), startDeadlineMs);
    child.once('message', () => {
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${module} ended with ${code}`));
    });
  });
  return { pid: child.pid ?? 0, url: `http://127.0.0.1:${port}`, child, stop: () => stopChild(child) };
}

/** Sends a message to a process and resolves with its next one. One question at a time. */
export async function askProcess(
  child: ChildProcess,
  question: Serializable,
  deadlineMs: number,
): Promise<unknown> {
  const answer = once(child, 'message');
  child.send(question);
  const [message] = (await withDeadline(answer, deadlineMs, 'an answer of a process')) as unknown[];
  return message;
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const kill = setTimeout(() => child.kill('SIGKILL'), stopGraceMs);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(kill);
}
