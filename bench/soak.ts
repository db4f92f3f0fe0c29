/**
 * Fifteen minutes of mixed load over two APIs and two workers, with a fault every 20 s, and then a table of what was promised:
 * exit code 1 when a promise broke. `SOAK_SECONDS=900` is the default; `SOAK_FAULTS=kill,redis` makes those faults only.
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startReceiver } from '../test/support/receiver.ts';
import { runBench, type Bench, type Row } from './support/bench.ts';
import { alertsLoad, answerSometimes } from './soak/alerts.ts';
import { booksLoad } from './soak/books.ts';
import { createUser, none, type Part, type Soak, type SoakCounts } from './soak/clients.ts';
import { createFaults, faultNames } from './soak/faults.ts';
import { callsPerMinute, startFleet, type Fleet } from './soak/fleet.ts';
import { jobsLoad } from './soak/jobs.ts';
import { readsLoad } from './soak/reads.ts';
import { resourcesWatch } from './soak/resources.ts';
import { streamsLoad } from './soak/streams.ts';
import { createTruth } from './soak/truth.ts';

const seconds = Number(process.env['SOAK_SECONDS'] ?? '900');
const chosen = (process.env['SOAK_FAULTS'] ?? '').split(',').filter((name) => name !== '');
const users = 3;
/** For what is under way at the end: a job has a minute, a webhook that was refused twice comes after 35 s, and after a frozen connection Postgres keeps locks for two minutes. */
const quietDeadlineMs = 240_000;

await runBench(`${seconds} s of load with a fault every 20 s`, async (bench) => {
  const unknown = chosen.filter((name) => !(faultNames as readonly string[]).includes(name));
  if (unknown.length > 0)
    throw new Error(`no such faults: ${unknown.join(', ')}; there are ${faultNames.join(', ')}`);
  const receiver = await startReceiver();
  bench.onEnd(() => receiver.close());
  receiver.answer = answerSometimes;
  const fleet = await startFleet(bench, 'a secret of the soak for webhooks, long enough');
  const counts: SoakCounts = { statuses: new Map(), unexpected: [] };
  const say = (text: string): void => bench.say(text);
  const ended = new AbortController();
  // Every client waits for it.
  setMaxListeners(0, ended.signal);
  const soak: Soak = {
    fleet,
    receiver,
    say,
    truth: createTruth(say),
    users: await Promise.all(Array.from({ length: users }, () => createUser(fleet, counts, say))),
    end: ended.signal,
  };
  const parts: readonly Part[] = [
    jobsLoad(soak),
    booksLoad(soak),
    alertsLoad(soak),
    readsLoad(soak),
    streamsLoad(soak),
    resourcesWatch(soak),
  ];
  const faults = createFaults(soak, chosen);
  process.once('SIGINT', () => ended.abort());
  process.once('SIGTERM', () => ended.abort());
  bench.say(`The logs are in ${fleet.logs} while it runs`);
  const running = Promise.all([...parts.map((part) => part.run()), faults.run()]);
  await sleep(seconds * 1_000, undefined, { signal: ended.signal }).catch(() => undefined);
  ended.abort();
  await running;
  bench.say('The load has ended; what is under way comes to its end…');
  const quietMs = await quiet(fleet, bench);
  const promised: Row[] = [];
  for (const part of parts) promised.push(...(await part.rows()));
  return [
    { what: 'faults, and the time until both APIs are ready and a job is done', result: '' },
    ...faults.rows(),
    ...promised,
    ...fleetRows(fleet, quietMs),
    none(
      'answers that should not be',
      counts.unexpected,
      ` (${[...counts.statuses].map(([status, n]) => `${status}: ${n}`).join(', ')})`,
    ),
  ];
});

/** Waits until every API is ready and nothing is open; returns how long (ms) that took, or undefined at the deadline. */
async function quiet({ stack, backstage }: Fleet, bench: Bench): Promise<number | undefined> {
  const since = Date.now();
  let left = '';
  while (Date.now() - since < quietDeadlineMs) {
    const reasons: string[] = [];
    for (const { url } of stack.apis) {
      const ready = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(5_000) }).catch(
        () => undefined,
      );
      await ready?.body?.cancel();
      if (ready?.status !== 200) reasons.push(`${url} is not ready`);
    }
    const [open] = await backstage
      .query<Record<string, number>>(
        `select (select count(*)::int from jobs where state in ('queued', 'running')) as jobs,
           (select count(*)::int from webhook_deliveries where state = 'pending') as webhooks,
           (select count(*)::int from portfolios where booked_version < books_version) as books,
           (select count(*)::int from alerts where fire_if_true and fired_count = 0) as alerts`,
      )
      .catch(() => []);
    for (const [what, count] of Object.entries(open ?? { database: 1 }))
      if (count > 0) reasons.push(`${count} ${what}`);
    if (reasons.length === 0) return Date.now() - since;
    left = reasons.join(', ');
    await sleep(1_000);
  }
  bench.say(`Not quiet after ${quietDeadlineMs / 1_000} s: ${left}`);
  return undefined;
}

function fleetRows({ stack: { market }, endedByThemselves }: Fleet, quietMs: number | undefined): Row[] {
  const worst = market.worstSlidingMinute();
  return [
    {
      what: 'upstream calls in the worst sliding 60 s',
      result: `${worst} (${market.callCount()} in all)`,
      requested: `≤ ${callsPerMinute}`,
      kept: worst <= callsPerMinute && market.callCount() > 0,
    },
    {
      what: 'until all that was accepted had ended and both APIs were ready',
      result: quietMs === undefined ? 'never' : `${(quietMs / 1_000).toFixed(1)} s`,
      requested: `≤ ${quietDeadlineMs / 1_000} s`,
      kept: quietMs !== undefined,
    },
    none('processes that ended by themselves', endedByThemselves),
  ];
}
