/** What clients cost that ask and never read: memory of each, and whether the others wait for them. */
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { Row } from '../support/bench.ts';
import { madeUp, median, ms, percentile } from '../support/figures.ts';
import { deliveriesOf, sendTicks, warmUp, whenDelivered, type Run } from './measure.ts';
import type { StreamOptions } from './options.ts';
import { gateRow } from './rows.ts';
import { startOurs } from './server.ts';
import { tickOf } from './ticks.ts';
import type { Tools } from './tools.ts';

/** So many coins make frames of some 70 KB, which fill what the system buffers for a client (3 to 4 MB) in seconds. */
const many = madeUp(1, 250);
const fillEveryMs = 100;
const fillDeadlineMs = 25_000;
const stalledAlone = 50;
const defaultStreams = 4_000;
const stalledShare = 0.05;
const ticks = 12;
const everyMs = 500;

/** Rows of the part `stalled`. */
export async function stalled(tools: Tools, options: StreamOptions): Promise<Row[]> {
  return [...(await memoryRows(tools, options)), ...(await latencyRows(tools, options))];
}

/** Sends ticks of many coins until `done`. */
async function fillUntil({ server }: Run, done: () => Promise<boolean>, what: string): Promise<void> {
  const filled = new AbortController();
  const filling = (async () => {
    while (!filled.signal.aborted) {
      await server.publish(tickOf(many, Date.now(), 'first'));
      await sleep(fillEveryMs);
    }
  })();
  try {
    await waitFor(done, { what, timeoutMs: fillDeadlineMs });
  } finally {
    filled.abort();
    await filling;
  }
}

async function memoryRows({ stack, load, bench }: Tools, options: StreamOptions): Promise<Row[]> {
  const server = await startOurs({ stack });
  const run = { server, load };
  try {
    await warmUp(run, many);
    await load.open({ ...server.streamOf(many), count: stalledAlone, addresses: 1, stalls: true });
    await sleep(1_000);
    const { rssBytes } = await server.figures(true);
    let most = 0;
    let maxBehind = 0;
    const poll = async (): Promise<boolean> => {
      const figures = await server.figures(true);
      most = Math.max(most, figures.rssBytes - rssBytes);
      maxBehind = Math.max(maxBehind, figures.behind);
      return figures.slow >= stalledAlone;
    };
    await fillUntil(run, poll, 'the end of the clients that stall').catch((error: unknown) =>
      bench.say(String(error)),
    );
    const { slow, streams } = await server.figures(true);
    const each = most / stalledAlone / 1024;
    const gate = { what: 'RSS added per stalled client : 1 MiB', ratio: each / 1024, gate: 1, stretch: 0.25 };
    return [
      {
        what: `${stalledAlone} clients that never read`,
        result: `${each.toFixed(0)} KiB each at most; ${maxBehind} were behind, ${slow} were cut, ${streams} are left`,
        requested: 'all are cut',
        kept: slow === stalledAlone && maxBehind === stalledAlone && streams === 0,
      },
      gateRow(gate, options.gate),
    ];
  } finally {
    await load.closeAll();
    await server.stop();
  }
}

interface Latencies {
  readonly lastMs: readonly number[];
  readonly requested: number;
  readonly delivered: number;
}

/** Times to the last of the healthy clients while so many others stall. */
async function timesBeside(
  { stack, load }: Tools,
  healthy: number,
  stalledCount: number,
): Promise<Latencies> {
  const server = await startOurs({ stack });
  const run = { server, load };
  const coins = ['bitcoin'];
  try {
    await warmUp(run, coins);
    await load.open({ ...server.streamOf(coins), count: healthy, addresses: 1, stalls: false });
    if (stalledCount > 0) {
      await load.open({ ...server.streamOf(many), count: stalledCount, addresses: 1, stalls: true });
      await fillUntil(
        run,
        async () => (await server.figures(false)).behind >= stalledCount,
        'the clients that stall to be behind',
      );
    }
    // The others are never sent these, but each tick has them, with and without clients that stall.
    const all = [...coins, ...many];
    const sent = await sendTicks(run, { ticks: ticks + 2, everyMs, coins: all, marked: 'first' });
    const measuredTicks = sent.slice(2);
    const report = await whenDelivered(load, measuredTicks, healthy * ticks);
    return {
      lastMs: report.stamps.map(({ lastMs }) => lastMs),
      requested: healthy * ticks,
      delivered: deliveriesOf(report),
    };
  } finally {
    await load.closeAll();
    await server.stop();
  }
}

async function latencyRows(tools: Tools, options: StreamOptions): Promise<Row[]> {
  const streams = options.streams ?? defaultStreams;
  const stalledCount = Math.round(streams * stalledShare);
  const healthy = streams - stalledCount;
  const none: Latencies[] = [];
  const some: Latencies[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    // By turns, who comes first.
    for (const count of round % 2 === 1 ? [0, stalledCount] : [stalledCount, 0]) {
      const latencies = await timesBeside(tools, healthy, count);
      (count === 0 ? none : some).push(latencies);
      tools.bench.say(
        `round ${round}, ${count} stalled: last client p99 ${ms(percentile(latencies.lastMs, 0.99))}`,
      );
    }
  }
  const ratio = median(
    some.map(({ lastMs }, round) => percentile(lastMs, 0.99) / percentile(none[round]?.lastMs ?? [], 0.99)),
  );
  return [
    latencyRow(`${healthy} clients, none stalled`, none),
    latencyRow(`${healthy} clients beside ${stalledCount} that stall`, some),
    gateRow(
      { what: 'time to the last client p99, 5 % stalled : none', ratio, gate: 1.25, stretch: 1.1 },
      options.gate,
    ),
  ];
}

function latencyRow(what: string, runs: readonly Latencies[]): Row {
  const all = runs.flatMap(({ lastMs }) => lastMs);
  const share = Math.min(...runs.map(({ requested, delivered }) => delivered / requested));
  return {
    what,
    result: `last client p50 ${ms(percentile(all, 0.5))}, p99 ${ms(percentile(all, 0.99))}; ${(share * 100).toFixed(2)} % delivered`,
    requested: '100 % delivered',
    kept: share === 1,
  };
}
