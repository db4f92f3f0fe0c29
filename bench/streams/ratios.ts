/** Ours beside the servers that others would take, in fresh processes by turns: CPU time of an event, memory of an idle stream. */
import { madeUp } from '../support/figures.ts';
import type { Bench, Row } from '../support/bench.ts';
import type { Stack } from '../../test/support/stack.ts';
import { measure, type Measured } from './measure.ts';
import { findNchan } from './nchan.ts';
import type { StreamOptions } from './options.ts';
import { gateRow, measuredRow, ratioOf, type BudgetedLimiter } from './rows.ts';
import { startContender, startOurs, type StartServer } from './server.ts';
import type { Tools } from './tools.ts';

const defaultStreams = 4_000;
const ticks = 12;
const everyMs = 500;

interface Variant {
  readonly name: string;
  readonly start: StartServer;
  readonly coins: readonly string[];
  readonly runs: Measured[];
}

const names = {
  ours: 'ours, SSE',
  ten: 'ours, SSE, 10 symbols in a tick',
  betterSse: 'better-sse on node:http',
  betterSseInKoa: 'better-sse in Koa',
  nchan: 'nginx + nchan',
  ws: 'plain ws, ws.send(Buffer)',
  oursWs: 'ours, WebSocket',
} as const;

function variantsOf(stack: Stack, bench: Bench): Variant[] {
  const one = ['bitcoin'];
  const variant = (name: string, start: StartServer, coins: readonly string[] = one): Variant => ({
    name,
    start,
    coins,
    runs: [],
  });
  const nchan = findNchan();
  if (typeof nchan === 'string') bench.say(`nchan is left out: ${nchan}`);
  return [
    variant(names.ours, () => startOurs({ stack })),
    variant(names.betterSse, () => startContender('better-sse')),
    variant(names.betterSseInKoa, () => startContender('better-sse in Koa')),
    ...(typeof nchan === 'string' ? [] : [variant(names.nchan, nchan)]),
    variant(names.ten, () => startOurs({ stack }), madeUp(1, 10)),
    variant(names.ws, () => startContender('plain ws')),
    variant(names.oursWs, () => startOurs({ stack, transport: 'ws' })),
  ];
}

/** Rows of the part `ratios`. */
export async function ratios({ stack, load, bench }: Tools, options: StreamOptions): Promise<Row[]> {
  const variants = variantsOf(stack, bench);
  const streams = options.streams ?? defaultStreams;
  for (let round = 1; round <= options.rounds; round++) {
    // Whoever comes later finds the machine as the others have left it, so they take turns.
    for (const { name, start, coins, runs } of round % 2 === 1 ? variants : variants.toReversed()) {
      const server = await start();
      try {
        const measured = await measure({ server, load }, { streams, coins, ticks, everyMs });
        runs.push(measured);
        bench.say(
          `round ${round}, ${name}: ${measured.cpuMicrosEach.toFixed(2)} µs, ${(measured.idleBytes / 1024).toFixed(1)} KiB`,
        );
      } finally {
        await load.closeAll();
        await server.stop();
      }
    }
  }
  const runsOf = (name: string): readonly Measured[] =>
    variants.find((each) => each.name === name)?.runs ?? [];
  return [
    ...variants.map(({ name, runs }) => measuredRow(name, runs)),
    ...gatesOf(runsOf).map((gate) => gateRow(gate, options.gate)),
  ];
}

function gatesOf(runsOf: (name: string) => readonly Measured[]): BudgetedLimiter[] {
  const ours = runsOf(names.ours);
  const cpu = (mine: readonly Measured[], other: string): number =>
    ratioOf('cpuMicrosEach', mine, runsOf(other));
  const memory = (other: string): number => ratioOf('idleBytes', ours, runsOf(other));
  return [
    {
      what: 'SSE CPU/event, ours : better-sse',
      ratio: cpu(ours, names.betterSse),
      gate: 0.75,
      stretch: 0.45,
    },
    { what: 'SSE CPU/event, ours : nchan', ratio: cpu(ours, names.nchan), gate: 1.3, stretch: 0.85 },
    {
      what: 'RSS/idle stream, ours : better-sse in Koa',
      ratio: memory(names.betterSseInKoa),
      gate: 0.75,
      stretch: 0.6,
    },
    { what: 'RSS/idle stream, ours : nchan', ratio: memory(names.nchan), gate: 2, stretch: 1.5 },
    {
      what: 'WebSocket CPU/event, ours : plain ws',
      ratio: cpu(runsOf(names.oursWs), names.ws),
      gate: 1,
      stretch: 0.8,
    },
    {
      what: 'CPU/quote, 10 in a tick : one in a tick',
      ratio: cpu(runsOf(names.ten), names.ours),
      gate: 0.25,
      stretch: 0.15,
    },
  ];
}
