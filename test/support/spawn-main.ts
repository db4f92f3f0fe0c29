import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from '../../embedded/free-port.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import type { Stack } from './stack.ts';
import { waitFor } from './wait-for.ts';

/** An API or a worker whose output, start and end a test looks at. The test ends it. */
export interface MainProcess {
  readonly child: ChildProcess;
  /** Of an API. */
  readonly url: string;
  /** What it has written to standard output and standard error. */
  readonly said: { readonly out: string; readonly err: string };
  /** Resolves when it says that it is ready, or has ended. */
  readonly started: Promise<unknown>;
  /** Waits for its end; resolves with its exit code, or null after a signal. */
  readonly end: (what: string, timeoutMs: number) => Promise<number | null>;
}

/** Starts a main on the stores of a stack, from source. */
export async function spawnMain(
  entry: 'src/main.ts' | 'workers/main.ts',
  stack: Pick<Stack, 'databaseUrl' | 'redisUrl' | 'redisPrefix' | 'market'>,
  environment: Readonly<Record<string, string>> = {},
): Promise<MainProcess> {
  const port = await freePort();
  const child = spawn(process.execPath, ['--import', 'tsx', join(projectRoot, entry)], {
    cwd: projectRoot,
    env: {
      ...process.env,
      APP_ENV: 'test',
      DATABASE_URL: stack.databaseUrl,
      REDIS_URL: stack.redisUrl,
      REDIS_KEY_PREFIX: stack.redisPrefix,
      PROVIDER: 'simulated',
      COINGECKO_BASE_URL: stack.market.url,
      ASSET_SYNC: 'off',
      WARMING: 'off',
      PORT: String(port),
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const said = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  const exited = once(child, 'exit') as Promise<[number | null]>;
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    said,
    started: Promise.race([once(child, 'message'), exited]),
    end: async (what, timeoutMs) => {
      await waitFor(() => child.exitCode !== null || child.signalCode !== null, { what, timeoutMs });
      return (await exited)[0];
    },
  };
}
