/** Load on one URL by wrk where it is installed, else by autocannon in one thread; pinned to a core of its own. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { canPin, isOnPath } from './procs.ts';

/** What one run of the load gave. */
export interface LoadResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx, and requests without an answer. */
  readonly failures: number;
}

interface LoadRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly connections: number;
  /** Core for the load. */
  readonly core: number;
}

const run = promisify(execFile);

/** Name of the program that makes the load. */
export const loadProgram = isOnPath('wrk') ? 'wrk' : 'autocannon';

/** Loads the URL for the given time. */
export async function load(request: LoadRequest): Promise<LoadResult> {
  return loadProgram === 'wrk' ? await byWrk(request) : await byAutocannon(request);
}

async function pinned(command: string, args: readonly string[], core: number): Promise<string> {
  const [program, rest] = canPin()
    ? ['taskset', ['-c', String(core), command, ...args]]
    : [command, [...args]];
  const { stdout } = await run(program, rest, { maxBuffer: 10_000_000, timeout: 120_000 });
  return stdout;
}

async function byAutocannon({ url, headers, seconds, connections, core }: LoadRequest): Promise<LoadResult> {
  const script = createRequire(import.meta.url).resolve('autocannon/autocannon.js');
  const headerArgs = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`]);
  const args = [script, '-j', '-n', '-c', String(connections), '-d', String(seconds), ...headerArgs, url];
  const report = JSON.parse(await pinned(process.execPath, args, core)) as {
    requests: { total: number };
    duration: number;
    latency: { p50: number; p99: number };
    non2xx: number;
    errors: number;
    timeouts: number;
  };
  return {
    requests: report.requests.total,
    requestsPerSecond: report.requests.total / report.duration,
    p50Ms: report.latency.p50,
    p99Ms: report.latency.p99,
    failures: report.non2xx + report.errors + report.timeouts,
  };
}

/** Makes wrk print what we need as JSON. */
const wrkReport = `
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"micros":%d,"p50":%f,"p99":%f,"failures":%d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

async function byWrk({ url, headers, seconds, connections, core }: LoadRequest): Promise<LoadResult> {
  const folder = await mkdtemp(join(tmpdir(), 'pricepool-load-'));
  try {
    const script = join(folder, 'report.lua');
    await writeFile(script, wrkReport);
    const headerArgs = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const args = [
      '-t',
      '1',
      '-c',
      String(connections),
      '-d',
      `${seconds}s`,
      '-s',
      script,
      ...headerArgs,
      url,
    ];
    const output = await pinned('wrk', args, core);
    const line = output.split('\n').find((each) => each.startsWith('{')) ?? '{}';
    const report = JSON.parse(line) as {
      requests: number;
      micros: number;
      p50: number;
      p99: number;
      failures: number;
    };
    return {
      requests: report.requests,
      requestsPerSecond: (report.requests / report.micros) * 1e6,
      p50Ms: report.p50 / 1_000,
      p99Ms: report.p99 / 1_000,
      failures: report.failures,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
