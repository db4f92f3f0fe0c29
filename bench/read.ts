/** A cached read with a token and all that production has on, against bare Koa with its router, in interleaved rounds. */
import { newUser } from '../test/support/api-client.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { median, ms, times } from './support/figures.ts';
import { load, loadProgram, type LoadResult } from './support/load.ts';
import { cpuMicros, pin, startBare } from './support/procs.ts';

/** Many short rounds: what disturbs the machine then disturbs both sides alike. */
const rounds = 9;
const secondsEach = 2;
/** Both sides alike; the larger program needs some hundred thousand requests until its machine code is final. */
const warmUpSeconds = 8;
const connections = 50;
const serverCore = 0;
const loadCore = 1;

interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly results: (LoadResult & { readonly cpuMicrosEach: number })[];
}

async function measure(
  { pid, url, headers, results }: Contender,
  seconds: number,
  isWarmUp = false,
): Promise<void> {
  const before = cpuMicros(pid);
  const result = await load({ url, headers, seconds, connections, core: loadCore });
  if (result.failures > 0) throw new Error(`${result.failures} requests to ${url} failed`);
  if (!isWarmUp) results.push({ ...result, cpuMicrosEach: (cpuMicros(pid) - before) / result.requests });
}

function rowsOf(ours: Contender, bare: Contender): Row[] {
  const middle = (contender: Contender, key: 'requestsPerSecond' | 'cpuMicrosEach' | 'p99Ms'): number =>
    median(contender.results.map((result) => result[key]));
  const ratio = (key: Parameters<typeof middle>[1]): number =>
    median(ours.results.map((result, round) => result[key] / (bare.results[round]?.[key] ?? NaN)));
  const both = [ours, bare].map((contender) => ({
    what: `${contender.name}: requests/s, CPU a request, p99`,
    result: `${middle(contender, 'requestsPerSecond').toFixed(0)}, ${middle(contender, 'cpuMicrosEach').toFixed(1)} µs, ${ms(middle(contender, 'p99Ms'))}`,
  }));
  return [
    ...both,
    {
      what: 'requests/s, cached read : bare Koa',
      result: times(ratio('requestsPerSecond')),
      asked: '>= 0.8 x',
    },
    {
      what: 'CPU a request, cached read : bare Koa',
      result: times(ratio('cpuMicrosEach')),
      asked: '(1 / 0.8 = 1.25 x)',
    },
    { what: 'p99, cached read : bare Koa', result: times(ratio('p99Ms')), asked: '<= 2 x' },
  ];
}

await runBench(
  `Cached read, one API process, ${loadProgram}, ${connections} connections, median of ${rounds}`,
  async (bench) => {
    const stack = await bench.stack({
      apis: 1,
      workers: 1,
      environment: { APP_ENV: 'production', NODE_ENV: 'production', QUOTE_FRESH_SECONDS: '3600' },
    });
    const api = stack.apis[0];
    if (api === undefined) throw new Error('no API process');
    const user = await newUser(api.url);
    await fetchBulk(user, ['bitcoin']);
    const hello = await startBare('bare-hello', { NODE_ENV: 'production' });
    bench.onEnd(() => hello.stop());
    const authorization = `Bearer ${user.token}`;
    const ours: Contender = {
      name: 'cached read',
      pid: api.pid,
      url: `${api.url}/api/v1/crypto/bitcoin`,
      headers: { authorization },
      results: [],
    };
    const bare: Contender = {
      name: 'bare Koa',
      pid: hello.pid,
      url: `${hello.url}/hello/bitcoin`,
      headers: { authorization },
      results: [],
    };
    if (![ours, bare].every(({ pid }) => pin(pid, serverCore)))
      bench.say('processes are not pinned: load and server share cores');
    for (const contender of [ours, bare]) await measure(contender, warmUpSeconds, true);
    for (let round = 0; round < rounds; round++) {
      await measure(ours, secondsEach);
      await measure(bare, secondsEach);
    }
    return rowsOf(ours, bare);
  },
);
