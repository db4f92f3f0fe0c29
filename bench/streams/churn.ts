/** What streams leave behind that have ended. */
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { Row } from '../support/bench.ts';
import { sendTicks, warmUp, type Run } from './measure.ts';
import type { Samples } from './probe.ts';
import { startOurs } from './server.ts';
import type { Tools } from './tools.ts';

const cycles = 1_000;
const atOnce = 100;
const addresses = 4;
const mayGrow = 0.05;
const coins = ['bitcoin'];

/** Rows of the part `churn`. */
export async function churn(tools: Tools): Promise<Row[]> {
  return [
    await leftBy(tools, { transport: 'sse', what: `${cycles} SSE streams opened and closed`, width: atOnce }),
    await leftBy(tools, {
      transport: 'ws',
      what: `${cycles} WebSockets closed on a silent market`,
      width: cycles,
    }),
  ];
}

interface ChurnPlan {
  readonly transport: 'sse' | 'ws';
  readonly what: string;
  /** Streams that are open at the same time. */
  readonly width: number;
}

async function cycle({ server, load }: Run, width: number): Promise<void> {
  for (let done = 0; done < cycles; done += width) {
    await load.open({ ...server.streamOf(coins), count: width, addresses, stalls: false });
    await load.closeAll();
  }
}

/** Waits until the server knows that all are gone, at most for as long as that takes on a silent market. */
async function empty({ server }: Run): Promise<Samples> {
  await waitFor(async () => (await server.figures(false)).streams === 0, { what: 'the end of all streams' });
  await sleep(1_000);
  return await server.figures(true);
}

/**
 * The first thousand make the process grow to its working size, the second thousand must not. Nothing is sent meanwhile, so
 * nothing but the closing itself can tell the server of it.
 */
async function leftBy({ stack, load }: Tools, { transport, what, width }: ChurnPlan): Promise<Row> {
  const server = await startOurs({ stack, transport });
  const run = { server, load };
  try {
    await warmUp(run, coins);
    await sendTicks(run, { ticks: 1, everyMs: 0, coins });
    await cycle(run, width);
    const before = await empty(run);
    await cycle(run, width);
    const after = await empty(run);
    const growth = after.rssBytes / before.rssBytes - 1;
    return {
      what,
      result: `RSS ${growth < 0 ? '' : '+'}${(growth * 100).toFixed(1)} %, handles ${before.handles} -> ${after.handles}, ${after.streams} streams left`,
      requested: 'RSS within 5 %, no handle, no stream',
      kept: growth <= mayGrow && after.handles <= before.handles && after.streams === 0,
    };
  } finally {
    await load.closeAll();
    await server.stop();
  }
}
