/**
 * What callers and operators rely on, against what was pinned (test/support/pinned.ts): the OpenAPI document, metrics,
 * settings, and answers of v1, v3, SSE and WebSocket as real processes give them.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { projectRoot } from '../../embedded/project-root.ts';
import { apiClient } from '../support/api-client.ts';
import { expectPinned, noteMetrics, withoutVolatile, type SeenMetrics } from '../support/pinned.ts';
import { openSocket } from '../support/socket-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { readSse } from './support/sse-reader.ts';

/** A call, and how its answer is named among those pinned. */
interface Requested {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS';
  /** With the API's root. */
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const pinnedHeaders = [
  'allow',
  'cache-control',
  'content-disposition',
  'content-type',
  'etag',
  'link',
  'location',
  'preference-applied',
  'retry-after',
  'vary',
  'www-authenticate',
  'x-accel-buffering',
  'x-content-type-options',
];

const account = { username: 'pinned', email: 'pinned@example.com', password: 'correct horse 1' };
const purchase = {
  type: 'buy',
  executed_at: '2021-01-31T09:30:00Z',
  received: { asset: 'bitcoin', quantity: '2' },
  value: '42000',
  fee: { value: '12.5' },
  note: 'first',
};
const sale = {
  type: 'sell',
  executed_at: '2021-03-31T09:30:00Z',
  sent: { asset: 'bitcoin', quantity: '0.5' },
  value: '25000',
};
const report = [
  'Timestamp,Transaction Type,Asset,Quantity Transacted,USD Spot Price at Transaction,USD Subtotal,USD Total (inclusive of fees),USD Fees,Notes',
  '2021-05-01T00:00:00Z,Buy,ETH,2,2000,4000,4010,10,',
  '',
].join('\n');

describe('the contract', function () {
  this.timeout(240_000);
  let stack: Stack;
  let url: string;

  before(async () => {
    stack = await startStack({
      market: { callsPerMinute: 10_000 },
      environment: {
        ASSET_SYNC: 'daily',
        ASSET_RANK_PAGES: '0',
        UPSTREAM_CALLS_PER_MINUTE: '600',
        UPSTREAM_CREDITS_PER_MONTH: '1000000',
        WEBHOOK_ALLOWED_NETWORKS: 'loopback',
      },
    });
    url = stack.apis[0]!.url;
  });
  after(() => stack.stop());

  /** Status, chosen headers and body as they are pinned; `data` as it came. */
  async function ask({ method = 'GET', path, body, token, headers = {} }: Requested) {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined || typeof body === 'string' ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    const came: unknown = isJson && text !== '' ? JSON.parse(text) : text;
    const chosen = pinnedHeaders.flatMap((name) => {
      const value = response.headers.get(name);
      if (value === null) return [];
      return [[name, name === 'etag' ? value.replace(/".*"/, '"<tag>"') : withoutVolatile(value)]];
    });
    const envelope = came as { data?: { id?: string } };
    return {
      pinned: { status: response.status, headers: Object.fromEntries(chosen), body: withoutVolatile(came) },
      // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape
      data: envelope.data as any,
    };
  }

  async function makeAdmin(email: string): Promise<void> {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    await client.query("update users set role = 'admin' where email = $1", [email]);
    await client.end();
  }

  it('pinned: the OpenAPI document', async () => {
    const response = await fetch(`${url}/openapi.json`);
    await expectPinned('openapi', await response.json());
  });

  it('pinned: names, defaults and values of settings', async () => {
    const text = await readFile(join(projectRoot, '.env.example'), 'utf8');
    const rows = [...text.matchAll(/^# (.*)\n#([A-Z][A-Z0-9_]+)=(.*)$/gm)];
    await expectPinned(
      'settings',
      Object.fromEntries(rows.map(([, takes, name, shown]) => [name, [takes, shown]])),
    );
  });

  it('pinned: answers of v1, v3, SSE and WebSocket', async () => {
    const answers: Record<string, unknown> = {};
    const v1 = async (name: string, requested: Requested) => {
      const answer = await ask({ ...requested, path: `/api/v1${requested.path}` });
      answers[`v1 ${name}`] = answer.pinned;
      return answer.data;
    };
    const v3 = async (name: string, requested: Requested): Promise<void> => {
      answers[`v3 ${name}`] = (await ask({ ...requested, path: `/api/v3${requested.path}` })).pinned;
    };

    // Accounts and credentials.
    await v1('register, refused', {
      method: 'POST',
      path: '/auth/register',
      body: { ...account, email: 'x' },
    });
    await v1('register', { method: 'POST', path: '/auth/register', body: account });
    await v1('register, taken', { method: 'POST', path: '/auth/register', body: account });
    const { email, password } = account;
    await v1('login, wrong password', {
      method: 'POST',
      path: '/auth/login',
      body: { email, password: 'wrong horse 1' },
    });
    await makeAdmin(email);
    const { token, refresh_token: refreshToken } = await v1('login', {
      method: 'POST',
      path: '/auth/login',
      body: { email, password },
    });
    await v1('refresh', { method: 'POST', path: '/auth/refresh', body: { refresh_token: refreshToken } });
    await v1('refresh, used before', {
      method: 'POST',
      path: '/auth/refresh',
      body: { refresh_token: 'ppr_x' },
    });
    await v1('forgot, without mail', { method: 'POST', path: '/auth/password/forgot', body: { email } });
    await v1('ticket', { method: 'POST', path: '/auth/stream-ticket', token });
    const { key } = await v1('API key', {
      method: 'POST',
      path: '/api-keys',
      token,
      body: { name: 'reader', scopes: ['prices:read'], daily_quota: 100_000 },
    });
    await v1('API keys', { path: '/api-keys', token });
    await v1('key out of scope', { path: '/portfolios', token: key });
    await v1('without a credential', { path: '/portfolios' });
    await v1('with a forged token', { path: '/portfolios', token: 'abc.def.ghi' });
    await v1('me', { path: '/users/me', token });
    await v1('no route', { path: '/nowhere', token });
    await v1('another method', { method: 'PUT', path: '/crypto/bulk', token, body: {} });
    await v1('no JSON', {
      method: 'POST',
      path: '/crypto/bulk',
      token,
      body: '{',
      headers: { 'content-type': 'application/json' },
    });

    // Prices and jobs.
    // Ranks are kept of coins that are listed, so the list comes first.
    await waitFor(async () => (await ask({ path: '/api/v1/crypto/coins', token })).pinned.status === 200, {
      what: 'the list of coins',
      timeoutMs: 60_000,
    });
    await v1('price', { path: '/crypto/bitcoin', token });
    await v1('price of what is not there', { path: '/crypto/no-such-coin-at-all', token });
    await v1('popular', { path: '/crypto/popular?limit=2', token });
    // What the ranking said of ranks: without them a symbol means any coin that has it.
    const first = async () =>
      (await ask({ path: '/api/v1/crypto/search?q=bitcoin&limit=1', token })).data?.[0];
    await waitFor(async () => (await first())?.rank != null, { what: 'the ranks', timeoutMs: 60_000 });
    await v1('search', { path: '/crypto/search?q=bitcoin&limit=1', token });
    const bulk = await v1('bulk', {
      method: 'POST',
      path: '/crypto/bulk',
      token,
      body: { coins: ['bitcoin', 'no-such-coin-at-all'] },
    });
    await apiClient(url, token).jobEnd(bulk.id as string);
    await v1('job', { path: `/jobs/${bulk.id as string}`, token });
    await v1('job cancelled after its end', { method: 'DELETE', path: `/jobs/${bulk.id as string}`, token });
    await v1('jobs', { path: '/jobs?limit=1', token });
    await v1('job of nobody', { path: '/jobs/0199e5a0-6a3c-7cc2-b0a5-1f6f2f0d9c11', token });
    await v1('bulk, refused', { method: 'POST', path: '/crypto/bulk', token, body: { coins: [], other: 1 } });
    await v1('holdings, waited for', {
      method: 'POST',
      path: '/crypto/portfolio',
      token,
      body: { holdings: [{ coin: 'bitcoin', quantity: '0.5' }] },
      headers: { prefer: 'wait=15' },
    });

    // Portfolios.
    const { id } = await v1('portfolio', {
      method: 'POST',
      path: '/portfolios',
      token,
      body: { name: 'Savings', method: 'uk_pool', time_zone: 'Europe/London' },
    });
    const portfolio = `/portfolios/${id as string}`;
    await v1('transaction', { method: 'POST', path: `${portfolio}/transactions`, token, body: purchase });
    await v1('transactions', {
      method: 'POST',
      path: `${portfolio}/transactions/bulk`,
      token,
      body: { transactions: [sale] },
    });
    await v1('transaction, overdrawn', {
      method: 'POST',
      path: `${portfolio}/transactions`,
      token,
      body: { ...sale, sent: { asset: 'bitcoin', quantity: '5' } },
    });
    await v1('portfolio, without its version', {
      method: 'PUT',
      path: portfolio,
      token,
      body: { name: 'Other' },
    });
    await v1('portfolio, of another version', {
      method: 'PUT',
      path: portfolio,
      token,
      body: { name: 'Other' },
      headers: { 'if-match': '"nothing"' },
    });
    await v1('positions', { path: `${portfolio}/positions`, token });
    await v1('lots', { path: `${portfolio}/lots`, token });
    await v1('realised', { path: `${portfolio}/realised`, token });
    await v1('changes', { path: `${portfolio}/changes?limit=1`, token });
    await v1('valuation', { path: `${portfolio}/valuation`, token });
    await v1('history of value', { path: `${portfolio}/history`, token });
    await v1('export', { path: `${portfolio}/export?format=csv`, token });
    await v1('import', {
      method: 'POST',
      path: `${portfolio}/import`,
      token,
      body: report,
      headers: { 'content-type': 'text/csv', prefer: 'wait=20' },
    });
    await v1('imports', { path: `${portfolio}/imports`, token });
    await v1('performance', {
      path: `${portfolio}/performance?range=30d`,
      token,
      headers: { prefer: 'wait=20' },
    });

    // Alerts and webhooks.
    const { id: alertId } = await v1('alert', {
      method: 'POST',
      path: '/alerts',
      token,
      body: { kind: 'price', coin: 'bitcoin', direction: 'above', threshold: '100000000' },
    });
    await v1('alert, refused', {
      method: 'POST',
      path: '/alerts',
      token,
      body: { kind: 'price', threshold: 'x' },
    });
    await waitFor(
      async () =>
        (await ask({ path: `/api/v1/alerts/${alertId as string}`, token })).data.last_value !== null,
      {
        what: 'the alert to be armed',
        timeoutMs: 60_000,
      },
    );
    await v1('alerts', { path: '/alerts', token });
    await v1('alert, deleted', {
      method: 'DELETE',
      path: `/alerts/${alertId as string}`,
      token,
      headers: { 'if-match': '*' },
    });
    await v1('webhook secret', { path: '/webhooks/secret', token });
    await v1('webhook test', {
      method: 'POST',
      path: '/webhooks/test',
      token,
      body: { url: 'http://127.0.0.1:1025/' },
    });

    // Operation.
    await waitFor(async () => (await ask({ path: '/api/v1/usage', token })).data.days.length > 1, {
      what: 'the usage',
      timeoutMs: 60_000,
    });
    await v1('usage', { path: '/usage', token });
    await v1('users', { path: '/users', token });
    await v1('cache stats', { path: '/crypto/cache/stats', token });
    answers['health'] = (await ask({ path: '/health/ready' })).pinned;

    // CoinGecko's API, with a key where CoinGecko's is.
    const own = { headers: { 'x-cg-demo-api-key': key as string } };
    await v3('ping', { path: '/ping', ...own });
    await v3('without a key', { path: '/ping' });
    await v3('simple price', {
      path: '/simple/price?ids=bitcoin,ethereum&vs_currencies=usd&include_24hr_change=true',
      ...own,
    });
    await v3('simple price, refused', { path: '/simple/price', ...own });
    await v3('markets', { path: '/coins/markets?vs_currency=usd&ids=bitcoin', ...own });
    await v3('coin', { path: '/coins/bitcoin?localization=false', ...own });
    await v3('coin that is not there', { path: '/coins/no-such-coin-at-all', ...own });
    await v3('market chart', { path: '/coins/bitcoin/market_chart?vs_currency=usd&days=7', ...own });
    await v3('OHLC', { path: '/coins/bitcoin/ohlc?vs_currency=usd&days=7', ...own });
    await v3('key', { path: '/key', ...own });
    await v3('trending', { path: '/search/trending', ...own });

    Object.assign(answers, await streamsOf({ token, portfolio, jobId: bulk.id as string }));
    await expectPinned('answers', answers);
  });

  interface Streamed {
    readonly token: string;
    /** Path of a portfolio. */
    readonly portfolio: string;
    /** Of a job that has ended. */
    readonly jobId: string;
  }

  /** Streams from their head to what they say first, and where they end by themselves, to their end. */
  async function streamsOf({ token, portfolio, jobId }: Streamed): Promise<Record<string, unknown>> {
    const headers = { authorization: `Bearer ${token}` };
    const follow = async (path: string, until: string, body?: object): Promise<unknown> => {
      const stream = await readSse(`${url}/api/v1${path}`, {
        headers,
        ...(body === undefined ? {} : { body }),
      });
      await waitFor(() => stream.events.some(({ event }) => event === until), {
        what: `${until} of ${path}`,
        timeoutMs: 60_000,
      });
      stream.cut();
      const shown = stream.events.filter(({ event }) => event !== 'heartbeat');
      const last = shown.findIndex(({ event }) => event === until);
      return {
        status: stream.status,
        headers: Object.fromEntries(
          pinnedHeaders.flatMap((name) => (name in stream.headers ? [[name, stream.headers[name]]] : [])),
        ),
        has_retry: stream.retryMs !== undefined,
        events: shown.slice(0, last + 1).map(({ event, id, data }) => ({
          event,
          id: id?.replaceAll(/[\w-]+/g, 'x') ?? null,
          data: withoutVolatile(data),
        })),
      };
    };
    const answers: Record<string, unknown> = {
      'SSE prices': await follow('/crypto/stream/prices?coins=bitcoin', 'price'),
      'SSE portfolio': await follow('/crypto/stream/portfolio', 'portfolio', {
        holdings: [{ coin: 'bitcoin', quantity: '2' }],
      }),
      'SSE books': await follow(`${portfolio}/stream`, 'portfolio'),
      'SSE job': await follow(`/jobs/${jobId}/events`, 'job.completed'),
      'SSE alerts': await follow('/alerts/stream', 'hello'),
    };
    const refused = await ask({ path: '/api/v1/crypto/stream/prices?coins=', token });
    answers['SSE refused'] = refused.pinned;
    answers['WebSocket without an upgrade'] = (await ask({ path: '/api/v1/crypto/stream/ws', token })).pinned;

    const socket = await openSocket(url, { token });
    const said: Record<string, unknown> = {
      hello: await socket.find('hello', ({ type }) => type === 'hello'),
      pong: await socket.ask({ action: 'ping' }),
      ticket: await socket.ask({ action: 'ticket' }),
      subscribed: await socket.ask({ action: 'subscribe', coins: ['bitcoin'] }),
      price: await socket.find('a price', ({ type }) => type === 'price'),
      followed: await socket.ask({ action: 'subscribe', jobs: [jobId] }),
      job: await socket.find('the end of the job', ({ type }) => type === 'job.completed'),
      unsubscribed: await socket.ask({ action: 'unsubscribe', coins: ['bitcoin'] }),
      'problem of a field': await socket.ask({ action: 'subscribe', coins: 'bitcoin' }),
      'problem of a job': await socket.ask({
        action: 'subscribe',
        jobs: ['0199e5a0-6a3c-7cc2-b0a5-1f6f2f0d9c11'],
      }),
      'problem of an action': await socket.ask({ action: 'dance' }),
    };
    for (let n = 0; n < 10; n++) socket.send('no JSON');
    said['close'] = await socket.whenClosed();
    for (const [name, message] of Object.entries(said))
      answers[`WebSocket ${name}`] = withoutVolatile(message);
    return answers;
  }

  it('pinned: names, types and labels of metrics', async () => {
    const seen: SeenMetrics = new Map();
    const scrape = async (): Promise<Record<string, unknown>> => {
      noteMetrics(seen, await (await fetch(`${url}/metrics`)).text());
      return Object.fromEntries(
        [...seen]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, { type, labels }]) => [name, [type, ...[...labels].sort()]]),
      );
    };
    // Some show labels only once they have counted something, in a moment that comes by itself.
    const until = Date.now() + 10_000;
    for (;;) {
      try {
        await expectPinned('metrics', await scrape());
        return;
      } catch (error) {
        if (Date.now() > until) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  });
});
