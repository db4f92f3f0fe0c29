/** A cached /simple/price with an API key, of 1 and of 250 ids, against bare Koa with its router, in interleaved rounds. */
import { newUser } from '../test/support/api-client.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { median, ms, times } from './support/figures.ts';
import { load, loadProgram, type LoadResult } from './support/load.ts';
import { cpuMicros, pin, startBare } from './support/procs.ts';

const rounds = 5;
const secondsEach = 2;
/** The larger program needs some hundred thousand requests until its machine code is final. */
const warmUpSeconds = 8;
const connections = 50;
const serverCore = 0;
const loadCore = 1;
const manyIds = 250;

interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly results: (LoadResult & { readonly cpuMicrosEach: number })[];
}

async function measure(contender: Contender, seconds: number, isWarmUp = false): Promise<void> {
  const { pid, url, headers, results } = contender;
  const before = cpuMicros(pid);
  const result = await load({ url, headers, seconds, connections, core: loadCore });
  if (result.failures > 0) throw new Error(`${result.failures} requests to ${url} failed`);
  if (!isWarmUp) results.push({ ...result, cpuMicrosEach: (cpuMicros(pid) - before) / result.requests });
}

type Figure = 'requestsPerSecond' | 'cpuMicrosEach' | 'p99Ms';

function middleOf({ results }: Contender, figure: Figure): number {
  return median(results.map((result) => result[figure]));
}

function rowsOf(one: Contender, many: Contender, bare: Contender): Row[] {
  const ratio = (contender: Contender): number =>
    median(
      contender.results.map(
        ({ requestsPerSecond }, round) => requestsPerSecond / (bare.results[round]?.requestsPerSecond ?? NaN),
      ),
    );
  const each = [one, many, bare].map((contender) => ({
    what: `${contender.name}: requests/s, CPU a request, p99`,
    result: `${middleOf(contender, 'requestsPerSecond').toFixed(0)}, ${middleOf(contender, 'cpuMicrosEach').toFixed(1)} µs, ${ms(middleOf(contender, 'p99Ms'))}`,
  }));
  return [
    ...each,
    { what: 'requests/s, 1 id : bare Koa', result: times(ratio(one)), asked: '>= 0.7 x' },
    { what: `requests/s, ${manyIds} ids : bare Koa`, result: times(ratio(many)) },
    {
      what: `CPU per id of ${manyIds}`,
      result: `${(middleOf(many, 'cpuMicrosEach') / manyIds).toFixed(2)} µs`,
    },
  ];
}

await runBench(
  `Cached /simple/price, one API process, ${loadProgram}, ${connections} connections, median of ${rounds}`,
  async (bench) => {
    const stack = await bench.stack({
      apis: 1,
      workers: 1,
      environment: { APP_ENV: 'production', NODE_ENV: 'production', QUOTE_FRESH_SECONDS: '3600' },
    });
    const api = stack.apis[0];
    if (api === undefined) throw new Error('no API process');
    const user = await newUser(api.url);
    const body = { name: 'bench', scopes: ['prices:read'] };
    const made = await user.call('POST', '/api-keys', { body });
    const { key } = made.body?.data as { key: string };
    const ids = Array.from({ length: manyIds }, (_, index) => `sim-${String(index + 1).padStart(5, '0')}`);
    await fetchBulk(user, ['bitcoin']);
    await fetchBulk(user, ids);
    const hello = await startBare('bare-hello', { NODE_ENV: 'production' });
    bench.onEnd(() => hello.stop());
    const headers = { 'x-cg-demo-api-key': key };
    const root = `${api.url}/api/v3/simple/price?vs_currencies=usd&ids=`;
    const ours = { pid: api.pid, headers };
    const one: Contender = { ...ours, name: '1 id', url: `${root}bitcoin`, results: [] };
    const many: Contender = { ...ours, name: `${manyIds} ids`, url: root + ids.join(), results: [] };
    const bare: Contender = {
      name: 'bare Koa',
      pid: hello.pid,
      url: `${hello.url}/hello/bitcoin`,
      headers,
      results: [],
    };
    if (![one, bare].every(({ pid }) => pin(pid, serverCore)))
      bench.say('processes are not pinned: load and server share cores');
    for (const contender of [one, many, bare]) await measure(contender, warmUpSeconds, true);
    for (let round = 0; round < rounds; round++) {
      for (const contender of [one, many, bare]) await measure(contender, secondsEach);
    }
    return rowsOf(one, many, bare);
  },
);
