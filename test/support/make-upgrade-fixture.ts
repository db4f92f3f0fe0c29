/**
 * Makes test/fixtures/upgrade anew: the Postgres and Redis of a deployment that was used over HTTP and then stopped with jobs
 * waiting in every queue. To be run by the code of a release, whose fixture test/e2e/upgrade.test.ts then starts later code from.
 */
import { mkdir } from 'node:fs/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { logIn, newPerson, succeed, type Person } from '../e2e/support/identities.ts';
import { apiClient } from './api-client.ts';
import { takeDump, writePacked } from './dump.ts';
import { startReceiver } from './receiver.ts';
import { mochaGlobalTeardown } from './services.ts';
import { startSmtp } from './smtp.ts';
import { stackSecret, startStack, type Stack } from './stack.ts';
import {
  dumpFile,
  knownFile,
  monthAround,
  stableAnswer,
  stablePaths,
  upgradeFolder,
  upgradeSettings,
  type Known,
} from './upgrade-fixture.ts';
import { waitFor } from './wait-for.ts';

const timeoutMs = 60_000;

/** Of a share-matching portfolio: a pool, a disposal of the same day, one matched within 30 days, and a fee in an asset. */
const transactions = [
  {
    type: 'buy',
    executed_at: '2021-01-04T10:00:00Z',
    received: { asset: 'bitcoin', quantity: '2' },
    value: '60000',
    fee: { value: '30' },
  },
  {
    type: 'buy',
    executed_at: '2021-02-01T10:00:00Z',
    received: { asset: 'bitcoin', quantity: '1.5' },
    value: '50000.25',
  },
  {
    type: 'sell',
    executed_at: '2021-02-01T15:00:00Z',
    given: { asset: 'bitcoin', quantity: '0.75' },
    value: '26000',
  },
  {
    type: 'sell',
    executed_at: '2021-03-01T10:00:00Z',
    given: { asset: 'bitcoin', quantity: '1' },
    value: '48000',
    fee: { value: '12.5' },
  },
  {
    type: 'buy',
    executed_at: '2021-03-20T10:00:00Z',
    received: { asset: 'bitcoin', quantity: '0.4' },
    value: '23000',
  },
  {
    type: 'transfer_in',
    executed_at: '2021-04-01T10:00:00Z',
    received: { asset: 'ethereum', quantity: '10' },
    value: '18000',
    note: 'from a wallet',
  },
  {
    type: 'swap',
    executed_at: '2021-05-01T10:00:00Z',
    given: { asset: 'ethereum', quantity: '4' },
    received: { asset: 'bitcoin', quantity: '0.2' },
    value: '11000',
  },
  {
    type: 'reward',
    executed_at: '2021-06-01T10:00:00Z',
    received: { asset: 'ethereum', quantity: '0.123456789012345678' },
    value: '300',
  },
  {
    type: 'transfer_out',
    executed_at: '2021-07-01T10:00:00Z',
    given: { asset: 'bitcoin', quantity: '0.1' },
    value: '3500',
  },
];
const report = [
  'Timestamp,Transaction Type,Asset,Quantity Transacted,USD Spot Price at Transaction,USD Subtotal,USD Total (inclusive of fees),USD Fees,Notes',
  '2021-08-01T00:00:00Z,Buy,ETH,2,2500,5000,5010,10,',
  '2021-09-01T00:00:00Z,Sell,ETH,1,3500,3500,3490,10,',
  '',
].join('\n');

async function upload(url: string, token: string, path: string): Promise<string> {
  const body = new FormData();
  body.set('symbols', '{"ETH":"ethereum"}');
  body.set('file', new Blob([report], { type: 'text/csv' }), 'report.csv');
  const response = await fetch(`${url}/api/v1${path}/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body,
  });
  if (response.status !== 202)
    throw new Error(`the import answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { data: { id: string } }).data.id;
}

/** Makes an account an admin, as the command does. */
async function promote(databaseUrl: string, id: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query("update users set role = 'admin' where id = $1", [id]);
  await client.end();
}

interface Made {
  readonly url: string;
  readonly owner: Person;
  readonly receiverUrl: string;
}

const bitcoinAlert = (rest: object): object => ({ kind: 'price', coin: 'bitcoin', ...rest });

/** What is done while everything runs: all of it ends. */
async function useIt({
  url,
  owner,
  receiverUrl,
}: Made): Promise<{ portfolioId: string; keys: Record<string, string> }> {
  const call = (method: string, path: string, body?: object) =>
    succeed(url, owner.token, body === undefined ? [method, path] : [method, path, body]);
  const user = apiClient(url, owner.token);
  await waitFor(async () => (await user.call('GET', '/crypto/coins')).status === 200, {
    what: 'the list of coins',
    timeoutMs,
  });

  const keys: Record<string, string> = {};
  for (const scopes of [
    ['prices:read'],
    ['jobs:write'],
    ['portfolio:read'],
    ['portfolio:write'],
    ['prices:read', 'jobs:write'],
  ]) {
    const { key } = await call('POST', '/api-keys', {
      name: scopes.join(' '),
      scopes,
      daily_quota: 1_000_000,
    });
    keys[scopes.join(' ')] = key as string;
  }
  const revoked = await call('POST', '/api-keys', { name: 'revoked', scopes: ['prices:read'] });
  keys['revoked'] = revoked.key as string;
  await call('DELETE', `/api-keys/${revoked.id as string}`);

  const { id: portfolioId } = await call('POST', '/portfolios', {
    name: 'Shares',
    method: 'uk_pool',
    base_currency: 'usd',
    time_zone: 'Europe/London',
  });
  const portfolio = `/portfolios/${portfolioId as string}`;
  await call('POST', `${portfolio}/transactions/bulk`, { transactions });
  await user.jobEnd(await upload(url, owner.token, portfolio), timeoutMs);
  const positions = await call('GET', `${portfolio}/positions`);
  if ((positions.positions as unknown[]).length !== 2)
    throw new Error('the books are not what they should be');
  await waitFor(async () => (await user.call('GET', `${portfolio}/valuation`)).body?.data.complete === true, {
    what: 'the valuation',
    timeoutMs,
  });
  const { id: performance } = await call('POST', `${portfolio}/performance`, { range: '1y' });
  await user.jobEnd(performance as string, timeoutMs);

  const { id: bulk } = await call('POST', '/crypto/bulk', {
    coins: ['bitcoin', 'ethereum', 'no-such-coin-at-all'],
    callback_url: `${receiverUrl}/ended`,
  });
  await user.jobEnd(bulk as string, timeoutMs);
  const { id: fired } = await call(
    'POST',
    '/alerts',
    bitcoinAlert({
      direction: 'above',
      threshold: '1',
      fire_if_true: true,
      url: `${receiverUrl}/fired`,
      note: 'fires',
    }),
  );
  await call('POST', '/alerts', bitcoinAlert({ direction: 'above', threshold: '100000000', note: 'armed' }));
  await waitFor(
    async () => (await user.call('GET', `/alerts/${fired as string}`)).body?.data.state === 'fired',
    { what: 'the alert', timeoutMs },
  );
  await waitFor(
    async () => (await user.call('GET', '/webhooks/deliveries?state=delivered')).body?.data.total === 2,
    { what: 'the webhooks', timeoutMs },
  );
  await call('POST', '/webhooks/secret/rotate');
  // History of the past is fetched once and kept.
  for (const path of stablePaths({ portfolioId: portfolioId as string }).filter((each) =>
    each.startsWith('/api/v3'),
  )) {
    await waitFor(
      async () => {
        const response = await fetch(url + path, { headers: { authorization: `Bearer ${owner.token}` } });
        return (await response.text()).length > 200 && response.status === 200;
      },
      { what: path, timeoutMs },
    );
  }
  return { portfolioId: portfolioId as string, keys };
}

/** What is asked for when no worker runs: all of it waits. */
async function leaveWaiting({
  url,
  owner,
  receiverUrl,
}: Made): Promise<Pick<Known, 'waitingPortfolioId' | 'jobIds' | 'deliveryId'>> {
  const call = (method: string, path: string, body?: object) =>
    succeed(url, owner.token, body === undefined ? [method, path] : [method, path, body]);
  const get = async (path: string): Promise<unknown> =>
    await fetch(url + path, { headers: { authorization: `Bearer ${owner.token}` } }).then((response) =>
      response.text(),
    );
  const { id: waitingPortfolioId } = await call('POST', '/portfolios', { name: 'Waiting', method: 'fifo' });
  const portfolio = `/portfolios/${waitingPortfolioId as string}`;
  await call('POST', `${portfolio}/transactions`, transactions[0]);
  const jobs = [
    await call('POST', '/crypto/bulk', {
      coins: ['dogecoin', 'cardano'],
      callback_url: `${receiverUrl}/waited`,
    }),
    await call('POST', '/crypto/bulk', { coins: ['solana', 'no-such-coin-either'], currency: 'eur' }),
    await call('POST', '/crypto/portfolio', { holdings: [{ coin: 'litecoin', quantity: '3' }] }),
    await call('POST', `${portfolio}/rebuild`, {}),
    await call('POST', `${portfolio}/performance`, { range: '30d' }),
  ].map(({ id }) => id as string);
  jobs.push(await upload(url, owner.token, portfolio));
  const { id: deliveryId } = await call('POST', '/webhooks/test', { url: `${receiverUrl}/test` });
  await succeed(url, '', ['POST', '/auth/password/forgot', { email: owner.email }]);
  await get('/api/v1/crypto/polkadot?currency=gbp');
  await get('/api/v1/crypto/popular?currency=jpy');
  await get('/api/v3/search/trending');
  await get('/api/v3/coins/ethereum/market_chart/range?vs_currency=usd&from=2020-01-01&to=2020-02-15');
  return { waitingPortfolioId: waitingPortfolioId as string, jobIds: jobs, deliveryId: deliveryId as string };
}

async function main(): Promise<void> {
  const [receiver, smtp] = [await startReceiver(), await startSmtp()];
  const startedAt = Date.now();
  const stack: Stack = await startStack({
    ownRedis: true,
    market: { callsPerMinute: undefined, historyDays: null },
    environment: upgradeSettings(startedAt, smtp.url),
  });
  const redis = new Redis(stack.redisUrl);
  const url = stack.apis[0]!.url;
  try {
    const [owner, other, admin, deleted] = [
      await newPerson(url),
      await newPerson(url),
      await newPerson(url),
      await newPerson(url),
    ];
    await promote(stack.databaseUrl, admin.id);
    const asAdmin = { ...admin, ...(await logIn(url, admin)) };
    await succeed(url, deleted.token, ['DELETE', '/users/me', { current_password: deleted.password }]);
    const made = { url, owner, receiverUrl: receiver.url };
    const { portfolioId, keys } = await useIt(made);
    const { key } = await succeed(url, asAdmin.token, [
      'POST',
      '/api-keys',
      { name: 'admin', scopes: ['admin'] },
    ]);
    keys['admin'] = key as string;

    stack.workers[0]!.kill('SIGTERM');
    await stack.workers[0]!.exited;
    const waiting = await leaveWaiting(made);
    const answers: Record<string, unknown> = {};
    for (const path of stablePaths({ portfolioId }))
      answers[path] = await stableAnswer(url, owner.token, path);
    const stats = await succeed(url, owner.token, ['GET', '/crypto/cache/stats']);
    stack.apis[0]!.kill('SIGTERM');
    await stack.apis[0]!.exited;

    const dump = await takeDump(stack.databaseUrl, redis, stack.redisPrefix);
    const known: Known = {
      prefix: stack.redisPrefix,
      jwtSecret: stackSecret,
      receiverUrl: receiver.url,
      monthStart: monthAround(startedAt).begin,
      callsAt: stack.market.calls().map(({ at }) => at),
      creditsSpent: stats.budget.month.spent as number,
      people: { owner, other, admin: asAdmin, deleted },
      keys,
      portfolioId,
      ...waiting,
      answers,
    };
    await mkdir(upgradeFolder, { recursive: true });
    await writePacked(dumpFile, dump);
    await writePacked(knownFile, known);
    const rows = dump.tables.map(({ name, rows: all }) => `${name} ${all.length}`);
    process.stdout.write(`${rows.join(', ')}\n${dump.keys.length} keys, ${known.callsAt.length} calls\n`);
  } finally {
    redis.disconnect();
    await stack.stop();
    await receiver.close();
    await smtp.close();
    await mochaGlobalTeardown();
  }
}

await main();
