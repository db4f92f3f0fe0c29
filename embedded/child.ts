/**
 * A server process that belongs to this one. It gets a process group of its own, so that Ctrl-C in a terminal reaches
 * only us and we decide the order of ending. A tiny shell (the guard) holds the read end of a pipe whose write end is
 * ours: when we die without a chance to clean up (kill -9), the pipe closes and the guard signals the server.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { sleep } from '../src/platform/concurrency/sleep.ts';

/** How a process ended: by `code`, or by `signal`. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Signals to try in turn, each with the time (ms) that it gets; SIGKILL follows by itself. */
export type StopPlan = readonly (readonly [signal: NodeJS.Signals, graceMs: number])[];

export interface OwnedChild {
  readonly pid: number;
  /** Settles once, when the process has ended. Never rejects. */
  readonly exited: Promise<ChildExit>;
  /** Ends the process by the plan, SIGKILL last. Resolves when it is gone; harmless when it is gone already. */
  stop(plan: StopPlan): Promise<void>;
}

/** Unix user and group that a child runs as. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

const killGraceMs = 5_000;

/**
 * Starts a guarded server process.
 * @throws {Error} when the command cannot be started at all.
 */
export async function startChild(spec: {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly identity?: Identity | undefined;
  /** Standard output and error go here; the file is emptied first. */
  readonly logFile: string;
  /** What the guard sends when this process dies. */
  readonly guardSignal: 'INT' | 'TERM';
}): Promise<OwnedChild> {
  const output = openSync(spec.logFile, 'w', 0o600);
  const child = spawn(spec.command, spec.args, {
    cwd: '/',
    env: spec.env,
    detached: true,
    stdio: ['ignore', output, output],
    ...spec.identity,
  });
  closeSync(output);
  child.on('error', () => undefined);
  await once(child, 'spawn');
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${spec.command} did not start`);
  const exited = exitOf(child);
  const disarm = guard(pid, spec.guardSignal);
  void exited.then(disarm);
  return { pid, exited, stop: (plan) => endChild(child, exited, plan) };
}

/** How and when a child process ends. Ask before it can have ended. */
export function exitOf(child: ChildProcess): Promise<ChildExit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

function guard(pid: number, signal: 'INT' | 'TERM'): () => void {
  const script = 'trap "" HUP INT TERM; read -r _ || kill -s "$1" "$2"';
  const shell = spawn('/bin/sh', ['-c', script, 'guard', signal, String(pid)], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  // A guard that cannot start is a lost convenience: the next start recognises what a killed run left behind.
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  return () => void shell.kill('SIGKILL');
}

/**
 * Ends a child process by the plan and then by SIGKILL.
 * @throws {Error} when it is still there after SIGKILL, which only a hung disk can cause.
 */
export async function endChild(
  child: ChildProcess,
  exited: Promise<ChildExit>,
  plan: StopPlan,
): Promise<void> {
  for (const [signal, graceMs] of [...plan, ['SIGKILL', killGraceMs] as const]) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const patience = new AbortController();
    const late = sleep(graceMs, patience.signal).catch(() => undefined);
    await Promise.race([exited, late]);
    patience.abort();
  }
  if (child.exitCode === null && child.signalCode === null)
    throw new Error(`Process ${child.pid ?? 0} did not end, not even after SIGKILL; stop it by hand`);
}

const shownLines = 12;

/** The last lines of a log file, for an error message; a note when it cannot be read. */
export async function tailOf(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split('\n').slice(-shownLines).join('\n');
  } catch {
    return '(no log)';
  }
}
