/**
 * A simulated month at 10,000 credits in fast time: two processes' budgets and one Redis, on a clock that jumps. Fails when the
 * provider counted more than the month or the minute allows, when nothing was left before the end, when a user was refused.
 */
import { Redis } from 'ioredis';
import { flushPrefix, uniquePrefix } from '../test/support/redis.ts';
import { services } from '../test/support/services.ts';
import { dayMs } from '../test/support/month-demand.ts';
import {
  callsOf,
  simulateMonth,
  type SimulatedDay,
  type SimulatedMonth,
} from '../test/support/month-simulation.ts';
import { runBench, type Row } from './support/bench.ts';
import { percentile } from './support/figures.ts';

const creditsPerMonth = 10_000;
const callsPerMinute = 30;
const interactivePerDay = 100;
/** A user who waits longer (ms) counts as refused: the longest READ_WAIT. */
const patienceMs = 30_000;
const from = Date.parse('2027-04-01T00:00:00Z');
const end = Date.parse('2027-05-01T00:00:00Z');
/** The provider's clock is ahead (ms), and Redis is wiped twice. */
const skewMs = 10_000;
const wipesAt = [from + 11.4 * dayMs, from + 23.6 * dayMs];

function lineOf(day: SimulatedDay): string {
  const { interactive, stream, warming, backfill } = day.calls;
  const cells = [
    new Date(day.begins).toISOString().slice(0, 10),
    interactive,
    stream,
    warming,
    backfill,
    callsOf(day),
    day.creditsLeft,
    Math.floor(day.reserve),
    day.refusals,
    `${(day.longestWaitMs / 1000).toFixed(1)} s`,
    `${(percentile(day.ages, 0.5) / 60_000).toFixed(1)} min`,
  ];
  return `| ${cells.map((cell) => String(cell).padStart(11)).join(' | ')} |`;
}

const heads = [
  'day',
  'interactive',
  'stream',
  'warming',
  'backfill',
  'calls',
  'left',
  'reserve',
  'refused',
  'worst wait',
  'age p50',
];

function print(days: readonly SimulatedDay[]): void {
  const head = `| ${heads.map((cell) => cell.padStart(11)).join(' | ')} |`;
  const rule = `|${heads.map(() => '-'.repeat(13)).join('|')}|`;
  process.stdout.write(`${[head, rule, ...days.map(lineOf)].join('\n')}\n`);
}

function rowsOf({ days, counted, busiestMinute, dryAt }: SimulatedMonth, seconds: number): Row[] {
  const spent = counted.get('2027-04') ?? 0;
  const refused = days.reduce((sum, day) => sum + day.refusals, 0);
  const requested = days.reduce((sum, day) => sum + day.calls.interactive, 0);
  // In the last minutes the last credits are spent, as they should be.
  const dry = dryAt.filter((at) => at < end - 1_800_000).length;
  const worst = Math.max(...days.map((day) => day.longestWaitMs));
  return [
    {
      what: 'credits counted by the provider',
      result: String(spent),
      requested: `<= ${creditsPerMonth}`,
      kept: spent <= creditsPerMonth,
    },
    { what: 'credits left unused', result: String(creditsPerMonth - spent) },
    {
      what: 'calls in the busiest 60 s',
      result: String(busiestMinute),
      requested: `<= ${callsPerMinute}`,
      kept: busiestMinute <= callsPerMinute,
    },
    {
      what: 'looks that found nothing left before the last half hour',
      result: String(dry),
      requested: '0',
      kept: dry === 0,
    },
    { what: 'interactive calls', result: String(requested) },
    {
      what: `interactive refusals (patience ${patienceMs / 1000} s)`,
      result: String(refused),
      requested: '0',
      kept: refused === 0,
    },
    { what: 'longest interactive wait', result: `${(worst / 1000).toFixed(1)} s` },
    { what: 'time of the run', result: `${seconds.toFixed(0)} s`, requested: '< 120 s', kept: seconds < 120 },
  ];
}

await runBench('A month of 10,000 credits', async (tools) => {
  const redis = new Redis((await services()).redisUrl);
  const prefix = uniquePrefix();
  tools.onEnd(async () => {
    await flushPrefix(redis, prefix);
    redis.disconnect();
  });
  const began = performance.now();
  // Two days of the next month too: the turn must be as smooth as the rest.
  const played = await simulateMonth({
    redis,
    prefix,
    from,
    until: end + 2 * dayMs,
    creditsPerMonth,
    callsPerMinute,
    interactivePerDay,
    patienceMs,
    wipesAt,
    skewMs,
  });
  print(played.days);
  return rowsOf(played, (performance.now() - began) / 1000);
});
