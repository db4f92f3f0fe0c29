import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../embedded/project-root.ts';
import { isAlive } from '../../embedded/stale-process.ts';
import { waitFor } from './wait-for.ts';

/** A fleet under a PM2 of its own, as `npm run fleet` starts it, but for the build. */
export interface Fleet {
  /** What PM2 says of its processes. */
  list(): Promise<readonly FleetProcess[]>;
  reload(): Promise<void>;
  /** SIGTERM to PM2, as a container does; resolves with its exit code when it has ended. */
  stop(): Promise<number | null>;
  /** Everything that PM2 and the processes wrote to their output so far. */
  output(): string;
  /** Nobody reads the output from now on: its reader is gone, or does not read. */
  neglectOutput(how: 'leave' | 'pause'): void;
  /** Pids of all processes that PM2 was ever seen to run. */
  readonly pids: ReadonlySet<number>;
  /** What is left in PM2's folder that should not be: sockets and pid files. */
  staleProcesses(): Promise<readonly string[]>;
  /** Ends what is still there, for good. */
  dispose(): Promise<void>;
}

export interface FleetProcess {
  readonly name: string;
  readonly pid: number;
  readonly status: string;
  readonly mode: string;
  readonly restarts: number;
}

interface Listed {
  readonly name: string;
  readonly pid: number;
  readonly pm2_env: { readonly status: string; readonly exec_mode: string; readonly restart_time: number };
}

const bin = join(projectRoot, 'node_modules/pm2/bin');
const commandTimeoutMs = 120_000;

/**
 * Starts PM2 with ecosystem.config.js; resolves when PM2 answers, while the processes start.
 * @param outputFile where the output goes; it is kept for `output` when absent.
 */
export async function startFleet(
  environment: Readonly<Record<string, string>>,
  outputFile?: string,
): Promise<Fleet> {
  const home = await mkdtemp(join(tmpdir(), 'pricepool-pm2-'));
  const env = {
    ...process.env,
    ...environment,
    PM2_HOME: home,
    HOME: home,
    PM2_DISABLE_VERSION_CHECK: 'true',
  };
  const safely = ['--import', './dist/embedded/safe-output.js'];
  const args = [...safely, join(bin, 'pm2-runtime'), 'start', 'ecosystem.config.js'];
  const file = outputFile === undefined ? undefined : await open(outputFile, 'a');
  const stdio = [file?.fd ?? 'pipe', file?.fd ?? 'pipe'] as const;
  const runtime = spawn(process.execPath, args, { cwd: projectRoot, env, stdio: ['ignore', ...stdio] });
  await file?.close();
  let output = '';
  const streams = [runtime.stdout, runtime.stderr].filter((stream) => stream !== null);
  for (const stream of streams) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exited = once(runtime, 'exit').then(([code]) => code as number | null);
  // A command that finds no PM2 starts a daemon of its own, which nobody would end.
  await waitFor(() => existsSync(join(home, 'rpc.sock')), {
    what: 'PM2 to start the fleet',
    timeoutMs: 60_000,
  }).catch((error: unknown) => {
    runtime.kill('SIGKILL');
    throw new Error(`${(error as Error).message}\n${output}`);
  });
  const pids = new Set<number>();
  const pm2 = async (...args: readonly string[]): Promise<string> => {
    const options = { cwd: projectRoot, env, timeout: commandTimeoutMs, maxBuffer: 50_000_000 };
    return (await promisify(execFile)(process.execPath, [join(bin, 'pm2'), ...args], options)).stdout;
  };

  return {
    pids,
    output: () => output,
    neglectOutput(how) {
      for (const stream of streams) {
        if (how === 'leave') stream.destroy();
        else stream.pause();
      }
    },
    async list() {
      const text = await pm2('jlist', '--silent');
      const listed = JSON.parse(text.slice(text.indexOf('['))) as readonly Listed[];
      for (const { pid } of listed) if (pid > 0) pids.add(pid);
      return listed.map(({ name, pid, pm2_env: { status, exec_mode, restart_time } }) => ({
        name,
        pid,
        status,
        mode: exec_mode,
        restarts: restart_time,
      }));
    },
    async reload() {
      await pm2('reload', 'ecosystem.config.js');
    },
    async stop() {
      runtime.kill('SIGTERM');
      return await exited;
    },
    async staleProcesses() {
      const names = await readdir(home, { recursive: true });
      return names.filter((name) => /\.(sock|pid)$/.test(name));
    },
    async dispose() {
      if (runtime.exitCode === null && runtime.signalCode === null) runtime.kill('SIGKILL');
      await exited;
      for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      await rm(home, { recursive: true, force: true });
    },
  };
}
