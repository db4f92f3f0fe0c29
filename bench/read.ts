/** A cached read with a token and all that production has on, against bare Koa with its router, in interleaved rounds. */
import { newUser } from '../test/support/api-client.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import {
  connections,
  contenderRow,
  measure,
  ratioOf,
  serverCore,
  type Contender,
} from './support/contenders.ts';
import { times } from './support/figures.ts';
import { loadProgram } from './support/load.ts';
import { pin, startBare } from './support/procs.ts';

/** Many short rounds: what disturbs the machine then disturbs both sides alike. */
const rounds = 9;
const secondsEach = 2;
/** Both sides alike; the larger program needs some hundred thousand requests until its machine code is final. */
const warmUpSeconds = 8;

function rowsOf(ours: Contender, bare: Contender): Row[] {
  const ratio = (statistic: Parameters<typeof ratioOf>[2]): number => ratioOf(ours, bare, statistic);
  return [
    ...[ours, bare].map(contenderRow),
    {
      what: 'requests/s, cached read : bare Koa',
      result: times(ratio('requestsPerSecond')),
      requested: '>= 0.8 x',
    },
    {
      what: 'CPU a request, cached read : bare Koa',
      result: times(ratio('cpuMicrosEach')),
      requested: '(1 / 0.8 = 1.25 x)',
    },
    { what: 'p99, cached read : bare Koa', result: times(ratio('p99Ms')), requested: '<= 2 x' },
  ];
}

await runBench(
  `Cached read, one API process, ${loadProgram}, ${connections} connections, median of ${rounds}`,
  async (bench) => {
    const stack = await bench.stack({
      apis: 1,
      workers: 1,
      environment: { APP_ENV: 'production', NODE_ENV: 'production', QUOTE_TTL: '3600s' },
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
