/** Starts `npm start` with stand-ins as a real process and looks at it from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitOf, type ChildExit, type Identity } from '../../embedded/child.ts';
import { freePort } from '../../embedded/free-port.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { waitFor } from './wait-for.ts';

export interface EmbeddedRun {
  readonly child: ChildProcess;
  readonly port: number;
  readonly exited: Promise<ChildExit>;
  /** Standard output and error so far. */
  output(): string;
  /** Resolves when the banner was printed; rejects when the run ended instead. */
  ready(): Promise<void>;
  /** JSON of a GET to the stand-in API. */
  get(path: string): Promise<Record<string, unknown>>;
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<ChildExit>;
}

interface RunSpec {
  readonly dataDir: string;
  readonly port?: number;
  readonly root?: string;
  /** What to run, from the root; `npm start` with stand-ins when absent. */
  readonly script?: string;
  readonly identity?: Identity;
  readonly env?: NodeJS.ProcessEnv;
}

const readyTimeoutMs = 90_000;

/** Starts one run. The caller ends it. */
export async function startEmbeddedRun(spec: RunSpec): Promise<EmbeddedRun> {
  const { dataDir, root = projectRoot, script = 'test/support/stand-in-up.ts' } = spec;
  const port = spec.port ?? (await freePort());
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, script)], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      PRICEPOOL_DATA_DIR: dataDir,
      PORT: String(port),
      MARKET_PORT: '0',
      TMPDIR: process.env.TMPDIR,
      ...spec.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...spec.identity,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = exitOf(child);
  const gone = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    child,
    port,
    exited,
    output: () => output,
    ready: async () => {
      const until = (): boolean => gone() || output.includes('is ready');
      await waitFor(until, { what: 'the banner', timeoutMs: readyTimeoutMs });
      if (!output.includes('is ready')) throw new Error(`The run ended before it was ready:\n${output}`);
    },
    get: async (path) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        signal: AbortSignal.timeout(30_000),
      });
      if (!response.ok) throw new Error(await response.text());
      return (await response.json()) as Record<string, unknown>;
    },
    end: (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}

/** Process ids that have `mark` in their command line or environment, ended ones that wait for their parent excluded. */
export function processesWith(mark: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && mentions(pid, mark));
}

function mentions(pid: number, mark: string): boolean {
  return ['cmdline', 'environ'].some((file) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(mark);
    } catch {
      return false;
    }
  });
}
