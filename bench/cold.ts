/** A cold bulk: one call, and little time beyond the market's. */
import { newUser, type ApiClient } from '../test/support/api-client.ts';
import type { Stack } from '../test/support/stack.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { madeUp, median, ms, percentile, times } from './support/figures.ts';

const latencyMs = 150;
const repetitions = 15;
const warmUps = 3;
const longestRatio = 1.5;

interface Cold {
  readonly stack: Stack;
  readonly client: ApiClient;
  readonly size: number;
  /** Number of the first made-up coin that nobody has asked for yet. */
  readonly firstCoin: number;
}

async function rowsOf({ stack, client, size, firstCoin }: Cold): Promise<Row[]> {
  const elapsed: number[] = [];
  const calls: number[] = [];
  for (let round = 0; round < warmUps + repetitions; round++) {
    stack.market.resetCalls();
    const outcome = await fetchBulk(client, madeUp(firstCoin + round * size, size));
    if (outcome.usable !== size) throw new Error(`${outcome.usable} of ${size} coins came with a price`);
    if (round < warmUps) continue;
    elapsed.push(outcome.elapsedMs);
    calls.push(stack.market.callCount());
  }
  const most = Math.max(...calls);
  return [
    {
      what: `cold bulk of ${size}: calls`,
      result: `${most} (most of ${repetitions})`,
      requested: '1 (Go server: 20)',
      kept: most === 1,
    },
    {
      what: '  time, median',
      result: `${ms(median(elapsed))} = ${times(median(elapsed) / latencyMs)} the latency`,
      requested: `<= ${longestRatio} x`,
    },
    { what: '  slowest', result: ms(percentile(elapsed, 1)) },
  ];
}

await runBench(`Cold bulk, market latency ${latencyMs} ms`, async (bench) => {
  const stack = await bench.stack({
    apis: 1,
    workers: 1,
    market: { latencyMs },
    environment: { UPSTREAM_CALLS_PER_MINUTE: '10000' },
  });
  const client = await newUser(stack.apis[0]?.url ?? '');
  return [
    ...(await rowsOf({ stack, client, size: 20, firstCoin: 1 })),
    ...(await rowsOf({ stack, client, size: 250, firstCoin: 1_000 })),
  ];
});
