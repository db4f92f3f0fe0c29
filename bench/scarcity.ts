/**
 * A crowd wants 12,000 coins within a minute, the market admits 30 calls a minute, users submit small bulks of other coins
 * meanwhile, and a worker process is killed at half time.
 */
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { apiClient, newUser, type ApiClient } from '../test/support/api-client.ts';
import type { Market } from '../embedded/market/market.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk, type BulkOutcome } from './support/bulk.ts';
import { madeUp, ms, percentile } from './support/figures.ts';

const callsPerMinute = 30;
const perCall = 250;
const crowdBulks = 48;
/** All of the crowd's demand is there after this time (ms). */
const crowdSpreadMs = 5_000;
const userCoins = 20;
const userEveryMs = 1_000;
const patienceMs = 290_000;

type Tries = Promise<BulkOutcome | Error>[];

function start(tries: Tries, work: () => Promise<BulkOutcome>): void {
  tries.push(work().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error)))));
}

interface Outcome {
  readonly whole: number;
  readonly all: number;
  readonly elapsed: readonly number[];
  readonly problems: readonly string[];
}

async function outcomeOf(tries: Tries): Promise<Outcome> {
  const ended = await Promise.all(tries);
  const good = ended.filter((each): each is BulkOutcome => !(each instanceof Error));
  return {
    all: ended.length,
    whole: good.filter(({ usable, requested }) => usable === requested).length,
    elapsed: good.map(({ elapsedMs }) => elapsedMs),
    problems: ended.flatMap((each) => (each instanceof Error ? [each.message] : [])),
  };
}

/** Half time is when half of the crowd's coins have been called for. */
async function untilHalfTime(market: Market): Promise<void> {
  const half = (crowdBulks * perCall) / 2;
  while (market.calls().reduce((sum, { ids }) => sum + ids, 0) < half) await sleep(100);
}

interface Submitter {
  readonly clients: readonly ApiClient[];
  readonly crowd: Tries;
  readonly users: Tries;
}

async function submitCrowd({ clients, crowd }: Submitter): Promise<void> {
  for (let bulk = 0; bulk < crowdBulks; bulk++) {
    const client = clients[bulk % clients.length];
    const coins = madeUp(1 + bulk * perCall, perCall);
    if (client !== undefined) start(crowd, () => fetchBulk(client, coins, { waiting: 'poll', patienceMs }));
    await sleep(crowdSpreadMs / crowdBulks);
  }
}

async function submitUsers({ clients, users }: Submitter, isOver: () => boolean): Promise<void> {
  const firstCoin = 1 + crowdBulks * perCall;
  for (let count = 0; !isOver(); count++) {
    const client = clients[count % clients.length];
    const coins = madeUp(firstCoin + count * userCoins, userCoins);
    if (client !== undefined) start(users, () => fetchBulk(client, coins, { waiting: 'wait', patienceMs }));
    await sleep(userEveryMs);
  }
}

/** Calls while the crowd lasted: from the first one after all of it had come to the last one but one that brought it. */
function fullness(
  market: Market,
  from: number,
  until: number,
): { share: number; least: number; calls: number } {
  const sizes = market
    .calls()
    .flatMap(({ at, ids }) => (at >= from && at <= until ? [ids] : []))
    .slice(0, -1);
  const total = sizes.reduce((sum, ids) => sum + ids, 0);
  return { share: (100 * total) / (sizes.length * perCall), least: Math.min(...sizes), calls: sizes.length };
}

function rowsOf(
  market: Market,
  { crowd, users, full }: { crowd: Outcome; users: Outcome; full: ReturnType<typeof fullness> },
): Row[] {
  const waits = ({ elapsed }: Outcome): string =>
    `${ms(percentile(elapsed, 0.5))} / ${ms(percentile(elapsed, 0.99))}`;
  return [
    {
      what: 'calls in the worst sliding 60 s',
      result: String(market.worstSlidingMinute()),
      requested: `<= ${callsPerMinute}`,
      kept: market.worstSlidingMinute() <= callsPerMinute,
    },
    {
      what: 'rejected by the market',
      result: String(market.rejected()),
      requested: '0',
      kept: market.rejected() === 0,
    },
    {
      what: `batches full while the crowd lasts (${full.calls} calls)`,
      result: `${full.share.toFixed(1)} % (least: ${full.least} of ${perCall})`,
      requested: '>= 95 %',
      kept: full.share >= 95,
    },
    { what: "users' bulks: wait p50 / p99", result: waits(users), requested: "before the crowd's" },
    { what: "crowd's bulks: wait p50 / p99", result: waits(crowd) },
    {
      what: "users' bulks with every price",
      result: `${users.whole} of ${users.all}`,
      requested: 'all',
      kept: users.whole === users.all,
    },
    {
      what: "crowd's bulks with every price",
      result: `${crowd.whole} of ${crowd.all}`,
      requested: 'all',
      kept: crowd.whole === crowd.all,
    },
    { what: 'calls made', result: String(market.callCount()) },
  ];
}

await runBench(
  `Scarcity: ${crowdBulks * perCall} coins wanted, ${callsPerMinute} calls a minute, a worker killed`,
  async (bench) => {
    const { market, ...stack } = await bench.stack({
      apis: 2,
      workers: 2,
      market: { latencyMs: 150, callsPerMinute, madeUpAssets: 20_000 },
      environment: { UPSTREAM_CALLS_PER_MINUTE: String(callsPerMinute), QUOTE_TTL: '600s' },
    });
    const user = await newUser(stack.apis[0]?.url ?? '');
    const submitter: Submitter = {
      clients: stack.apis.map(({ url }) => apiClient(url, user.token)),
      crowd: [],
      users: [],
    };
    let over = false;
    const users = submitUsers(submitter, () => over);
    await submitCrowd(submitter);
    const crowdCameAt = Date.now();
    bench.say('the crowd has come…');
    await untilHalfTime(market);
    bench.say('half time: killing a worker…');
    stack.workers[0]?.kill('SIGKILL');
    const crowd = await outcomeOf(submitter.crowd);
    const crowdEndedAt = Date.now();
    over = true;
    await users;
    bench.say('the crowd is served; waiting for the last users…');
    const served = await outcomeOf(submitter.users);
    for (const problem of [...crowd.problems, ...served.problems]) bench.say(problem);
    return rowsOf(market, { crowd, users: served, full: fullness(market, crowdCameAt, crowdEndedAt) });
  },
);
