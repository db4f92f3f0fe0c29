import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { projectRoot } from '../../embedded/project-root.ts';

interface Command {
  /** Of the project: `src/create-admin.ts`. */
  readonly script: string;
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** What it finds on its standard input. */
  readonly input: string;
}

/** Runs one of our commands to its end; `said` is all that it wrote. */
export async function runCommand({
  script,
  args,
  environment,
  input,
}: Command): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(projectRoot, script), ...args], {
    cwd: projectRoot,
    env: environment,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // It does not read what it has no need of.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [[code], out, err] = await Promise.all([
    once(child, 'exit') as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, said: out + err };
}
