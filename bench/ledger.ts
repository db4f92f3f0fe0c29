/**
 * Rebuilding a lost budget from a ledger of 10 million calls in one month, with real Postgres and Redis. Fails when the look at the
 * ledger takes longer than 200 ms, when the rebuilt month is not what was spent, or when no call is granted afterwards.
 */
import { Redis } from 'ioredis';
import knexFactory from 'knex';
import { openDatabase } from '../db/connection.ts';
import { createRedisBudget, budgetKeys } from '../src/features/upstream/budget/redis-budget.ts';
import { createUpstreamCallLog } from '../src/features/upstream/queries/upstream-calls.ts';
import { silentLogger } from '../src/platform/observability/logger.ts';
import { createTestDatabase } from '../test/support/database.ts';
import { flushPrefix, uniquePrefix } from '../test/support/redis.ts';
import { services } from '../test/support/services.ts';
import { runBench } from './support/bench.ts';

const rows = Number(process.argv[2] ?? 10_000_000);
const maxMs = 200;
const key = 'bench';
const dayMs = 86_400_000;
/** Rows of one statement that fills the ledger. */
const step = 250_000;

await runBench(`The budget from a ledger of ${rows} calls`, async (tools) => {
  const onEnd = (end: () => unknown): void => tools.onEnd(end);
  const database = await createTestDatabase();
  onEnd(() => database.drop());
  const knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 2 });
  onEnd(() => knex.destroy());
  // Without the deadlines of the product.
  const filling = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } });
  onEnd(() => filling.destroy());
  const redis = new Redis((await services()).redisUrl);
  const prefix = uniquePrefix();
  onEnd(async () => {
    await flushPrefix(redis, prefix);
    redis.disconnect();
  });

  const now = new Date();
  // Today is the last day of a month of 30 days, all of which is full of calls.
  const startsOn = new Date(now.getTime() - 29 * dayMs).getUTCDate();
  const begin = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()) - 29 * dayMs;
  const spanMs = now.getTime() - 120_000 - begin;
  for (let from = 0; from < rows; from += step) {
    await filling.raw(
      `insert into upstream_calls (id, budget_key, granted_at, counted_until, settled_at, outcome, credits)
        select lpad(to_hex(n), 32, '0')::uuid, ?, at, at + interval '1 second', at + interval '1 second',
          case when n % 50 = 0 then 'rate_limited' else 'ok' end, 1
        from (select n, to_timestamp(? / 1000.0) + n * ?::float8 * interval '1 millisecond' as at
          from generate_series(?::integer, ?::integer) as n) as calls`,
      [key, begin, spanMs / rows, from, Math.min(from + step, rows) - 1],
    );
    tools.say(`${Math.min(from + step, rows)} rows`);
  }
  await filling.raw('vacuum analyze upstream_calls');
  const callLog = createUpstreamCallLog(knex);
  const poll = async () => {
    const since = performance.now();
    const requested = {
      budgetKey: key,
      windowMs: 60_500,
      creditsSince: new Date(begin - 60_000),
      free: ['rate_limited'],
    };
    const { credits } = await callLog.recent(requested);
    return { credits, ms: performance.now() - since };
  };
  const polls = async (count: number) => {
    const found: Awaited<ReturnType<typeof poll>>[] = [];
    for (let n = 0; n < count; n++) found.push(await poll());
    return found;
  };
  tools.say('before its hours are summed');
  const [unsummed] = await polls(1).catch(() => [undefined]);
  const options = { redis, callLog, log: silentLogger(), prefix, key, limit: 300, monthStartsOn: startsOn };
  const budget = createRedisBudget({ ...options, month: { credits: rows * 2 } });
  // As after an upgrade: no worker has summed anything yet, and Redis has lost the budget.
  const since = performance.now();
  let tries = 1;
  for (;;) {
    const requested = await budget.tryAcquire('interactive');
    if ('granted' in requested) {
      await requested.granted.release();
      break;
    }
    tries++;
  }
  const summingMs = performance.now() - since;
  tools.say(`granted after ${tries} tries`);
  const after = await polls(10);
  const worst = Math.max(...after.map(({ ms }) => ms));
  const spent = rows - Math.ceil(rows / 50);

  const keys = budgetKeys(prefix, key);
  await redis.del(keys.log, keys.state);
  const granting = performance.now();
  const granted = await budget.tryAcquire('interactive');
  const grantMs = performance.now() - granting;
  const { month } = await budget.status();
  return [
    {
      what: 'a look before hours are summed',
      result: unsummed === undefined ? 'does not end' : `${unsummed.ms.toFixed(0)} ms`,
    },
    {
      what: 'a grant after an upgrade, with a Redis that has lost the budget and no hour summed',
      result: `${(summingMs / 1000).toFixed(1)} s`,
    },
    {
      what: 'a look, worst of 10',
      result: `${worst.toFixed(0)} ms`,
      requested: `${maxMs} ms`,
      kept: worst <= maxMs,
    },
    {
      what: 'credits',
      result: String(after[0]?.credits),
      requested: String(spent),
      kept: after.every(({ credits }) => credits === spent),
    },
    {
      what: 'a grant after Redis has lost the budget',
      result: `${grantMs.toFixed(0)} ms`,
      requested: 'granted',
      kept: 'granted' in granted,
    },
    {
      what: 'credits of the month then',
      result: String(month?.spent),
      requested: String(spent + 1),
      kept: month?.spent === spent + 1,
    },
  ];
});
