import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { endChild, exitOf } from './child.ts';
import { projectRoot } from './project-root.ts';
import type { Part } from './supervise.ts';

/** Longer than the ten seconds in which a process ends by itself. */
const stopGraceMs = 12_000;

/**
 * Starts one of our own processes (API or worker). It has a channel to us and ends when that breaks, so it never
 * outlives us; and a process group of its own, so that Ctrl-C reaches only us.
 */
export async function startProgram({
  script,
  env,
  logFile,
}: {
  /** Absolute path of a module, TypeScript or built. */
  readonly script: string;
  readonly env: NodeJS.ProcessEnv;
  /** Standard output and error are appended here. */
  readonly logFile: string;
}): Promise<Part & { pid: number }> {
  const output = openSync(logFile, 'a', 0o600);
  const loader = script.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const child = spawn(process.execPath, [...loader, script], {
    cwd: projectRoot,
    env,
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
  });
  closeSync(output);
  child.on('error', () => undefined);
  await once(child, 'spawn');
  const exited = exitOf(child);
  return { pid: child.pid ?? 0, exited, stop: () => endChild(child, exited, [['SIGTERM', stopGraceMs]]) };
}
