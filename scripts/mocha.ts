import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../embedded/project-root.ts';

/** How a run of mocha ended. */
export interface MochaRun {
  /** 0 when all passed. */
  readonly code: number;
  /** What it said, where that was kept back. */
  readonly output: string;
}

interface MochaOptions {
  /** Shows what mocha says at once; else it is kept. True when absent. */
  readonly isLive?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs mocha on some files. It ends with us. */
export function runMocha(
  args: readonly string[],
  { isLive = true, environment = {} }: MochaOptions = {},
): Promise<MochaRun> {
  const child = spawn(process.execPath, [join(projectRoot, 'node_modules/mocha/bin/mocha.js'), ...args], {
    cwd: projectRoot,
    env: { ...process.env, ...environment },
    stdio: ['ignore', isLive ? 'inherit' : 'pipe', 'inherit'],
  });
  const stop = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  const parts: Buffer[] = [];
  child.stdout?.on('data', (part: Buffer) => parts.push(part));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
      resolve({ code: code ?? 1, output: Buffer.concat(parts).toString() });
    });
  });
}
