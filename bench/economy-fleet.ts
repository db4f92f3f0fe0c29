/**
 * More than the budget can refresh: 1,000 clients read 12,000 assets by a Zipf law in two currencies, while the market admits 30
 * calls of 250 assets a minute. A worker process is killed at half time. The same clients then read through nginx as a cache in
 * front of the same kind of market.
 */
import { startMarket, type Market } from '../embedded/market/market.ts';
import { newUser } from '../test/support/api-client.ts';
import { hasNginx, startNginx } from '../test/support/nginx.ts';
import type { Bench, Row } from './support/bench.ts';
import { madeUp, ms, percentile } from './support/figures.ts';
import { readPrices, type PriceDoor, type ReadOutcome } from './support/price-readers.ts';

export interface FleetOptions {
  readonly seconds: number;
  /** How long nginx is looked at. */
  readonly nginxSeconds: number;
  readonly clients: number;
}

const assets = madeUp(1, 12_000);
const callsPerMinute = 30;
const freshSeconds = 60;
const thinkMs = 1_500;
const users = 20;
const marketOptions = { latencyMs: 150, callsPerMinute, madeUpAssets: 20_000, walkIntervalMs: 1_000 };

/** Rows of the fleet, then those of nginx. */
export async function fleetRows(bench: Bench, options: FleetOptions): Promise<Row[]> {
  return [...(await runFleet(bench, options)), ...(await runNginx(bench, options))];
}

async function runFleet(bench: Bench, { seconds, clients }: FleetOptions): Promise<Row[]> {
  const stack = await bench.stack({
    apis: 2,
    workers: 3,
    market: marketOptions,
    environment: {
      UPSTREAM_CALLS_PER_MINUTE: String(callsPerMinute),
      QUOTE_TTL: `${freshSeconds}s`,
      // A first read may wait for its turn: at 30 calls a minute and two currencies that is some seconds, and ten more when a
      // worker dies with it in hand.
      READ_WAIT: '30s',
      WARMING: 'on',
    },
  });
  const doors: PriceDoor[] = [];
  for (let index = 0; index < users; index++) {
    const url = stack.apis[index % stack.apis.length]?.url ?? '';
    const { token } = await newUser(url);
    doors.push({ url: `${url}/api/v3`, headers: { authorization: `Bearer ${token}` } });
  }
  bench.say(`${clients} clients read ${assets.length} assets for ${seconds} s…`);
  const killing = setTimeout(() => {
    bench.say('half time: a worker is killed');
    stack.workers[0]?.kill('SIGKILL');
  }, seconds * 500);
  const outcome = await readPrices({ doors, clients, assets, seconds, thinkMs });
  clearTimeout(killing);
  const rows = [
    ...countRows(stack.market, { rejections: 0 }),
    ...outcomeRows(bench, outcome, stack.market),
    ...decileRows(outcome),
  ];
  await stack.stop();
  const share = outcome.answered / outcome.requested;
  return [
    { what: `fleet (2 APIs, 3 workers, one killed), ${clients} clients, ${seconds} s`, result: '' },
    {
      what: '  prices given of those asked for',
      result: percent(share),
      requested: '>= 99.9 %',
      kept: share >= 0.999,
    },
    ...rows,
  ];
}

async function runNginx(bench: Bench, { nginxSeconds: seconds, clients }: FleetOptions): Promise<Row[]> {
  const title = `nginx (proxy_cache, lock, use_stale), ${clients} clients, ${seconds} s`;
  if (!(await hasNginx())) return [{ what: title, result: 'skipped: there is no nginx here' }];
  const market = await startMarket(marketOptions);
  bench.onEnd(() => market.close());
  const nginx = await startNginx({ upstreamPort: market.port, cacheSeconds: freshSeconds });
  bench.onEnd(() => nginx.stop());
  bench.say(`the same clients read through nginx for ${seconds} s…`);
  const doors = [{ url: `${nginx.url}/api/v3`, headers: {} }];
  const outcome = await readPrices({ doors, clients, assets, seconds, thinkMs });
  return [
    { what: title, result: '' },
    { what: '  prices given of those asked for', result: percent(outcome.answered / outcome.requested) },
    ...countRows(market, {}),
    ...outcomeRows(bench, outcome, market),
  ];
}

/** What the market counted; asked for are no rejections where `rejections` says so. */
function countRows(market: Market, { rejections }: { readonly rejections?: 0 }): Row[] {
  const [rejected, worst] = [market.rejected(), market.worstSlidingMinute()];
  const isRequested = rejections !== undefined;
  return [
    {
      what: '  rejected by the market',
      result: String(rejected),
      ...(isRequested && { requested: '0', kept: rejected === 0 }),
    },
    {
      what: '  calls in the worst sliding 60 s',
      result: String(worst),
      ...(isRequested && { requested: `<= ${callsPerMinute}`, kept: worst <= callsPerMinute }),
    },
  ];
}

function outcomeRows(bench: Bench, outcome: ReadOutcome, market: Market): Row[] {
  for (const [reason, count] of outcome.reasons) bench.say(`${count} prices not given: ${reason}`);
  const admitted = market.callCount() - market.rejected();
  const { all, waitsMs } = outcome;
  const idsEach = market.calls().reduce((sum, { ids }) => sum + ids, 0) / market.callCount();
  return [
    { what: '  requests, prices given', result: `${outcome.requests}, ${outcome.answered}` },
    { what: '  distinct assets and currencies asked for', result: String(outcome.distinct) },
    { what: '  calls admitted by the market, ids in each', result: `${admitted}, ${idsEach.toFixed(0)}` },
    { what: '  prices given per call', result: (outcome.answered / admitted).toFixed(0) },
    {
      what: `  of prices asked for, younger than ${freshSeconds} s`,
      result: percent(all.younger(freshSeconds) / outcome.requested),
    },
    { what: '  age p50 / p99', result: agesOf(all) },
    {
      what: '  waits p50 / p99 / longest',
      result: [0.5, 0.99, 1].map((share) => ms(percentile(waitsMs, share))).join(' / '),
    },
  ];
}

function decileRows({ deciles }: ReadOutcome): Row[] {
  return deciles.map((ages, index) => ({
    what: `  assets ${index * 10 + 1} to ${index * 10 + 10} % by popularity: reads, fresh, age p50 / p99`,
    result: `${ages.count}, ${percent(ages.younger(freshSeconds) / ages.count)}, ${agesOf(ages)}`,
  }));
}

function agesOf(ages: { percentile(share: number): number }): string {
  return `${ages.percentile(0.5)} s / ${ages.percentile(0.99)} s`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
