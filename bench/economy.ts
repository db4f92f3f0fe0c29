/**
 * Many clients, few calls: how many are answered with usable quotes when the market admits 30 calls a minute. Shorter with
 * `--seconds 60 --nginx-seconds 30 --clients 300 --no-bulks`.
 */
import { parseArgs } from 'node:util';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { apiClient, newUser } from '../test/support/api-client.ts';
import type { Stack } from '../test/support/stack.ts';
import { runBench, type Bench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { fleetRows } from './economy-fleet.ts';
import { madeUp, ms, percentile, pick } from './support/figures.ts';

const coins = madeUp(1, 200);
const coinsEach = 20;
const minuteMs = 60_000;
const callsPerMinute = 30;

interface Outcome {
  answered: number;
  readonly elapsed: number[];
  readonly reasons: Map<string, number>;
}

/** Requests come at random times within a minute, one half waits in the request and one half polls. */
async function runMinute(bench: Bench, requests: number): Promise<{ stack: Stack; outcome: Outcome }> {
  const stack = await bench.stack({
    apis: 2,
    workers: 2,
    market: { latencyMs: 150, callsPerMinute },
    environment: { UPSTREAM_CALLS_PER_MINUTE: String(callsPerMinute), WARMING: 'on' },
  });
  const first = await newUser(stack.apis[0]?.url ?? '');
  const clients = stack.apis.map(({ url }) => apiClient(url, first.token));
  const outcome: Outcome = { answered: 0, elapsed: [], reasons: new Map() };
  bench.say(`${requests} requests within a minute…`);
  const one = async (index: number): Promise<void> => {
    await sleep(Math.random() * minuteMs);
    const client = clients[index % clients.length] ?? first;
    try {
      const waiting = index % 4 < 2 ? 'wait' : 'poll';
      const { usable, requested, elapsedMs } = await fetchBulk(client, pick(coins, coinsEach), { waiting });
      outcome.elapsed.push(elapsedMs);
      if (usable === requested) outcome.answered++;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      outcome.reasons.set(reason, (outcome.reasons.get(reason) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: requests }, (_, index) => one(index)));
  return { stack, outcome };
}

async function rowsOf(bench: Bench, requests: number, goServer: string): Promise<Row[]> {
  const { stack, outcome } = await runMinute(bench, requests);
  const { market } = stack;
  const share = (100 * outcome.answered) / requests;
  for (const [reason, count] of outcome.reasons) bench.say(`${count} x ${reason}`);
  const rows: Row[] = [
    {
      what: `${requests} requests: answered with usable quotes`,
      result: `${share.toFixed(1)} % (${outcome.answered})`,
      requested: `100 % (Go server: ${goServer})`,
      kept: outcome.answered === requests,
    },
    {
      what: '  rejected by the market',
      result: String(market.rejected()),
      requested: '0',
      kept: market.rejected() === 0,
    },
    {
      what: '  calls in the worst sliding 60 s',
      result: String(market.worstSlidingMinute()),
      requested: `<= ${callsPerMinute}`,
      kept: market.worstSlidingMinute() <= callsPerMinute,
    },
    { what: '  calls made', result: String(market.callCount()) },
    {
      what: '  client waits p50 / p99',
      result: `${ms(percentile(outcome.elapsed, 0.5))} / ${ms(percentile(outcome.elapsed, 0.99))}`,
    },
  ];
  await stack.stop();
  return rows;
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    'nginx-seconds': { type: 'string', default: '120' },
    clients: { type: 'string', default: '1000' },
    'no-bulks': { type: 'boolean', default: false },
  },
});

await runBench('Economy: 30 calls a minute', async (bench) => {
  const rows: Row[] = [];
  if (!values['no-bulks']) {
    rows.push({ what: 'bulks of 20 random of 200 coins', result: '' });
    rows.push(...(await rowsOf(bench, 50, '15 %, 850 of 880 calls rejected')));
    rows.push(...(await rowsOf(bench, 500, '14 %, 8,576 calls rejected')));
  }
  const fleet = await fleetRows(bench, {
    seconds: Number(values.seconds),
    nginxSeconds: Number(values['nginx-seconds']),
    clients: Number(values.clients),
  });
  return [...rows, ...fleet];
});
