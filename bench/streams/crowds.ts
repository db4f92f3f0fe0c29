/** Very many streams on one process: beside the simplest broadcaster there is, and with large events. */
import type { Row } from '../support/bench.ts';
import { madeUp, median } from '../support/figures.ts';
import { measure, type Measured, type Plan } from './measure.ts';
import type { StreamOptions } from './options.ts';
import { gateRow, measuredRow, ratioOf } from './rows.ts';
import { startContender, startOurs, type StartServer } from './server.ts';
import type { Tools } from './tools.ts';

async function measureFresh({ load }: Tools, start: StartServer, plan: Plan): Promise<Measured> {
  const server = await start();
  try {
    return await measure({ server, load }, plan);
  } finally {
    await load.closeAll();
    await server.stop();
  }
}

const crowd = 10_000;
const crowdSeconds = 10;
const updatesPerSecond = 10;
/** One address has some 28,000 ports, of which those that were just closed are not free. */
const crowdAddresses = 4;
/** So many that no coin is renewed twice within five seconds, however late a busy machine is. */
const crowdCoins = 50;
const mayLose = 0.005;

/**
 * Rows of the part `fanout`: ten updates a second to ten thousand streams. Each tick renews another coin, so that an update
 * that is sent together with the next one still counts, and one that is dropped does not.
 */
export async function fanout(tools: Tools, { rounds, streams = crowd, gate }: StreamOptions): Promise<Row[]> {
  const coins = madeUp(1, crowdCoins);
  const plan: Plan = {
    streams,
    coins,
    ticks: crowdSeconds * updatesPerSecond,
    everyMs: 1_000 / updatesPerSecond,
    coinsOf: (tick) => [coins[tick % coins.length] ?? ''],
    addresses: crowdAddresses,
  };
  const ours: Measured[] = [];
  const bare: Measured[] = [];
  const sides = [
    { runs: ours, name: 'ours', start: () => startOurs({ stack: tools.stack, intervalMs: plan.everyMs }) },
    { runs: bare, name: 'bare node:http', start: () => startContender('node:http') },
  ];
  for (let round = 1; round <= rounds; round++) {
    for (const { runs, name, start } of round % 2 === 1 ? sides : sides.toReversed()) {
      const measured = await measureFresh(tools, start, plan);
      runs.push(measured);
      tools.bench.say(
        `round ${round}, ${name}: p99 ${measured.p99Ms} ms, ${measured.cores.toFixed(2)} cores, ${measured.delivered} of ${measured.requested}`,
      );
    }
  }
  const p99 = ratioOf('p99Ms', ours, bare);
  const cpu = ratioOf('cpuMicrosEach', ours, bare);
  return [
    measuredRow(`ours, ${streams} SSE streams, ${updatesPerSecond} updates/s`, ours, mayLose),
    measuredRow('bare node:http broadcaster, the same', bare, 'any'),
    gateRow({ what: 'event p99, ours : bare node:http', ratio: p99, gate: 1.1, stretch: 1 }, gate),
    gateRow({ what: 'CPU/event, ours : bare node:http', ratio: cpu, gate: 1.1, stretch: 1 }, gate),
  ];
}

const watchers = 4_000;
const watchedCoins = 200;
const watchedTicks = 10;

/** Rows of the part `watchers`: four thousand streams of two hundred coins each, all renewed every second. */
export async function watching(tools: Tools, { rounds, streams = watchers }: StreamOptions): Promise<Row[]> {
  const coins = madeUp(1, watchedCoins);
  const plan: Plan = { streams, coins, ticks: watchedTicks, everyMs: 1_000, marked: 'first' };
  const runs: Measured[] = [];
  for (let round = 1; round <= rounds; round++) {
    runs.push(await measureFresh(tools, () => startOurs({ stack: tools.stack, intervalMs: 900 }), plan));
  }
  const perSecond = median(runs.map(({ cpuMicrosEach }) => cpuMicrosEach));
  return [
    measuredRow(`ours, ${streams} streams of ${watchedCoins} coins, 1 update/s`, runs),
    {
      what: 'CPU per client: of a core, and of an update of one coin',
      result: `${(perSecond / 1e4).toFixed(4)} %, ${(perSecond / watchedCoins).toFixed(3)} µs`,
    },
  ];
}
