/** A cached /simple/price with an API key, of 1 and of 250 ids, against bare Koa with its router, in interleaved rounds. */
import { newUser } from '../test/support/api-client.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import {
  connections,
  contenderRow,
  measure,
  middleOf,
  ratioOf,
  serverCore,
  type Contender,
} from './support/contenders.ts';
import { times } from './support/figures.ts';
import { loadProgram } from './support/load.ts';
import { pin, startBare } from './support/procs.ts';

const rounds = 5;
const secondsEach = 2;
/** The larger program needs some hundred thousand requests until its machine code is final. */
const warmUpSeconds = 8;
const manyIds = 250;

function rowsOf(one: Contender, many: Contender, bare: Contender): Row[] {
  const ratio = (contender: Contender): string => times(ratioOf(contender, bare, 'requestsPerSecond'));
  return [
    ...[one, many, bare].map(contenderRow),
    { what: 'requests/s, 1 id : bare Koa', result: ratio(one), requested: '>= 0.7 x' },
    { what: `requests/s, ${manyIds} ids : bare Koa`, result: ratio(many) },
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
      environment: { APP_ENV: 'production', NODE_ENV: 'production', QUOTE_TTL: '3600s' },
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
