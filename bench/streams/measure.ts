/** One measurement of one server: memory of idle streams, CPU time of an event, and how long the last client waits. */
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { percentile } from '../support/figures.ts';
import type { Load, LoadReport } from './load-process.ts';
import type { StreamServer } from './server.ts';
import { tickOf, type Marked } from './ticks.ts';

/** What is measured. */
export interface Plan {
  readonly streams: number;
  /** What each of them watches. */
  readonly coins: readonly string[];
  readonly ticks: number;
  readonly everyMs: number;
  /** Coins of a tick by its number; all that are watched when absent. */
  readonly coinsOf?: (tick: number) => readonly string[];
  readonly marked?: Marked;
  /** Loopback addresses of the clients. */
  readonly addresses?: number;
}

/** What came out. Times in milliseconds. */
export interface Measured {
  /** RSS of an idle stream. */
  readonly idleBytes: number;
  /** RSS of a stream after the events. */
  readonly usedBytes: number;
  /** CPU time (µs) of the server for one delivery of one marked quote. */
  readonly cpuMicrosEach: number;
  /** Share of a core that the server used. */
  readonly cores: number;
  readonly requested: number;
  readonly delivered: number;
  /** Times to the last client, one for each tick. */
  readonly lastMs: readonly number[];
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Run {
  readonly server: StreamServer;
  readonly load: Load;
}

const warmUpStreams = 200;
const unmeasuredTicks = 2;
const arrivalDeadlineMs = 8_000;
const settleMs = 1_500;

/** Sends ticks at a steady pace; returns when each was sent (ms since the epoch). */
export async function sendTicks(
  { server }: Pick<Run, 'server'>,
  { ticks, everyMs, coins, coinsOf = () => coins, marked = 'all' }: Omit<Plan, 'streams'>,
): Promise<number[]> {
  const sent: number[] = [];
  const startedAt = performance.now();
  for (let tick = 0; tick < ticks; tick++) {
    await sleep(Math.max(0, startedAt + tick * everyMs - performance.now()));
    const now = Math.max(Date.now(), (sent.at(-1) ?? 0) + 1);
    sent.push(now);
    await server.publish(tickOf(coinsOf(tick), now, marked));
  }
  return sent;
}

/** Waits until so many marks have come, or no more do. */
export async function whenDelivered(
  load: Load,
  stamps: readonly number[],
  requested: number,
): Promise<LoadReport> {
  const until = performance.now() + arrivalDeadlineMs;
  for (;;) {
    const report = await load.report(stamps);
    if (deliveriesOf(report) >= requested || performance.now() > until) return report;
    await sleep(50);
  }
}

/** Marks that have come. */
export function deliveriesOf({ stamps }: LoadReport): number {
  return stamps.reduce((sum, { count }) => sum + count, 0);
}

/** Runs the code of a server, and waits until ticks reach clients; nothing is open afterwards. */
export async function warmUp({ server, load }: Run, coins: readonly string[]): Promise<void> {
  await server.publish(tickOf(coins, Date.now()));
  await load.open({ ...server.streamOf(coins), count: warmUpStreams, addresses: 1, stalls: false });
  await waitFor(
    async () => {
      const stamps = await sendTicks({ server }, { ticks: 1, everyMs: 0, coins, marked: 'first' });
      await sleep(300);
      return deliveriesOf(await load.report(stamps)) >= warmUpStreams;
    },
    { what: 'the first ticks at the clients', timeoutMs: 10_000 },
  );
  await load.closeAll();
  await sleep(300);
}

/** Measures a fresh server. */
export async function measure(run: Run, plan: Plan): Promise<Measured> {
  const { server, load } = run;
  const { streams, coins, ticks, everyMs, addresses = 1, marked = 'all', coinsOf = () => coins } = plan;
  await warmUp(run, coins);
  const empty = await server.figures(true);
  await load.open({ ...server.streamOf(coins), count: streams, addresses, stalls: false });
  await sleep(settleMs);
  const idle = await server.figures(true);
  const each = marked === 'first' ? 1 : coinsOf(0).length;
  const first = await sendTicks(run, { ...plan, ticks: unmeasuredTicks });
  await whenDelivered(load, first, streams * each * unmeasuredTicks);
  const requested = streams * each * ticks;
  const before = await server.figures(false);
  const startedAt = performance.now();
  const sent = await sendTicks(run, plan);
  const report = await whenDelivered(load, sent, requested);
  // A run of fan-outs and pauses is as long as its ticks, however soon the last of them is delivered.
  await sleep(Math.max(0, startedAt + ticks * everyMs - performance.now()));
  const after = await server.figures(false);
  const seconds = (performance.now() - startedAt) / 1_000;
  const used = await server.figures(true);
  const cpu = after.cpuMicros - before.cpuMicros;
  const delivered = deliveriesOf(report);
  await load.closeAll();
  return {
    idleBytes: (idle.rssBytes - empty.rssBytes) / streams,
    usedBytes: (used.rssBytes - empty.rssBytes) / streams,
    cpuMicrosEach: cpu / delivered,
    cores: cpu / 1e6 / seconds,
    requested,
    delivered,
    lastMs: report.stamps.map(({ lastMs }) => lastMs),
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
  };
}

/** p50 and p99 of the times to the last client. */
export function lastClient(runs: readonly Measured[]): { p50: number; p99: number } {
  const all = runs.flatMap(({ lastMs }) => lastMs);
  return { p50: percentile(all, 0.5), p99: percentile(all, 0.99) };
}
