/**
 * Streams: what an event and an idle stream cost beside other servers, in one run, because absolute figures move with the machine.
 * Servers run on one core and clients on the other. `--part` chooses (ratios and stalled without it, or `all`), `--gate` fails on
 * a missed gate, `--rounds` and `--streams` make it shorter. Lost deliveries always fail it.
 */
import { runBench, type Row } from './support/bench.ts';
import { canPin, pin } from './support/procs.ts';
import { churn } from './streams/churn.ts';
import { fanout, watching } from './streams/crowds.ts';
import { startLoad } from './streams/load-process.ts';
import { readOptions, type PartName, type StreamOptions } from './streams/options.ts';
import { ratios } from './streams/ratios.ts';
import { loadCore } from './streams/server.ts';
import { stalled } from './streams/stalled.ts';
import type { Tools } from './streams/tools.ts';
import { upstream } from './streams/upstream.ts';

const parts: Readonly<Record<PartName, (tools: Tools, options: StreamOptions) => Promise<Row[]>>> = {
  ratios,
  stalled,
  fanout,
  watchers: watching,
  churn,
  upstream,
};

const options = readOptions(process.argv.slice(2));

await runBench(
  `Streams: ${options.parts.join(', ')}; fresh processes by turns, median of ${options.rounds}; CPU and times per delivered quote`,
  async (bench) => {
    const stack = await bench.stack({ apis: 0, workers: 0 });
    const load = await startLoad();
    bench.onEnd(() => load.stop());
    if (!canPin()) bench.say('processes are not pinned: servers and clients share cores');
    for (const pid of [load.pid, process.pid]) pin(pid, loadCore);
    const rows: Row[] = [];
    for (const part of options.parts) rows.push(...(await parts[part]({ stack, load, bench }, options)));
    return rows;
  },
);
