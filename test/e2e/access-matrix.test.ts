/**
 * Every route for everybody: anonymous, the owner, another user, an admin, an expired token, a revoked one, a key of the wrong
 * scope, and a deleted user. The rows are compared with the route table, so that a route without a row fails.
 */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { openDatabase } from '../../db/connection.ts';
import { startApi } from '../http/support/ports.ts';
import { expectPinned } from '../support/pinned.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { importCall, upload } from './support/import-call.ts';
import { identities, newCast, succeed, type Cast, type Identity, type Person } from './support/identities.ts';

type Statuses = Readonly<Record<Identity, number>>;

/** What a row calls: a path with ids filled in, and a body. */
interface Call {
  readonly path?: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Row {
  readonly statuses: Statuses;
  /** Ends the owner, so that each identity needs a cast of its own. */
  readonly isFatal?: boolean;
  /** Makes what is called upon anew for each identity. `owner` is who the `user` is. */
  readonly call?: (owner: Person, url: string) => Call | Promise<Call>;
}

const refused = { anonymous: 401, expired: 401, revoked: 401, 'deleted user': 401 } as const;

/** Anybody gets the same, whatever he brings. */
const open = (status: number): Statuses =>
  Object.fromEntries(identities.map((identity) => [identity, status])) as Statuses;
/** Whoever is logged in has his own. */
const everyUser = (status: number): Statuses => ({
  ...refused,
  user: status,
  'other user': status,
  admin: status,
  'wrong-scope key': 403,
});
/** Keys of whatever scope, too. */
const anyKey = (status: number): Statuses => ({ ...everyUser(status), 'wrong-scope key': status });
/** One user's own, which others do not see. */
const own = (status: number, admin = status): Statuses => ({
  ...everyUser(status),
  'other user': 404,
  admin,
});
/** One user's own books, for reading: what the key of the wrong scope is for. Admins see their own only. */
const ownBooks = (status: number): Statuses => ({ ...own(status, 404), 'wrong-scope key': status });
const adminsOnly = (status: number): Statuses => ({ ...everyUser(403), admin: status });

let made = 0;
const account = (): object => {
  const username = `matrix-${process.pid}-${++made}`;
  return { username, email: `${username}@example.com`, password: 'correct horse 2' };
};

async function endedJob({ token }: Person, url: string): Promise<string> {
  const result = await succeed(url, token, ['POST', '/crypto/bulk', { coins: ['bitcoin'] }]);
  await succeed(url, token, ['POST', '/crypto/bulk', { coins: ['bitcoin'], timeout: 10 }]);
  return result.id as string;
}

const jobCall =
  (suffix = ''): NonNullable<Row['call']> =>
  async (owner, url) => ({ path: `/api/v1/jobs/${await endedJob(owner, url)}${suffix}` });

/** On a portfolio of the owner, made anew. */
const portfolioCall =
  (suffix = '', call: Omit<Call, 'path'> = {}): NonNullable<Row['call']> =>
  async ({ token }, url) => {
    const { id } = await succeed(url, token, ['POST', '/portfolios', { name: 'books' }]);
    return { path: `/api/v1/portfolios/${id as string}${suffix}`, ...call };
  };

const anyVersion = { 'if-match': '*' };
const purchase = {
  type: 'buy',
  executed_at: '2024-01-31T09:30:00Z',
  received: { asset: 'bitcoin', quantity: '1' },
  value: '42000',
};

/** On a transaction of the owner, made anew. */
const transactionCall =
  (suffix = '', call: Omit<Call, 'path'> = {}): NonNullable<Row['call']> =>
  async ({ token }, url) => {
    const portfolio = await succeed(url, token, ['POST', '/portfolios', { name: 'books' }]);
    const path = `/portfolios/${portfolio.id as string}/transactions`;
    const { id } = await succeed(url, token, ['POST', path, purchase]);
    return { path: `/api/v1${path}/${id as string}${suffix}`, ...call };
  };

const alert = { kind: 'price', coin: 'bitcoin', direction: 'above', threshold: '1000000' };

/** On an alert of the owner, made anew. */
const alertCall =
  (suffix = '', call: Omit<Call, 'path'> = {}): NonNullable<Row['call']> =>
  async ({ token }, url) => {
    const { id } = await succeed(url, token, ['POST', '/alerts', alert]);
    return { path: `/api/v1/alerts/${id as string}${suffix}`, headers: { 'if-match': '*' }, ...call };
  };

/** Nothing listens there. */
const deafUrl = 'http://127.0.0.1:1025/';

/** On a webhook of the owner that was not taken and waits for its next attempt. */
const deliveryCall =
  (suffix = ''): NonNullable<Row['call']> =>
  async ({ token }, url) => {
    const { id } = await succeed(url, token, ['POST', '/webhooks/test', { url: deafUrl }]);
    const path = `/webhooks/deliveries/${id as string}`;
    const hasFailed = async (): Promise<boolean> =>
      (await succeed(url, token, ['GET', path])).last_error !== null;
    await waitFor(hasFailed, { what: 'the first attempt' });
    return { path: `/api/v1${path}${suffix}` };
  };

/** The list of coins is fetched when the workers have begun. */
const whenListed =
  (path: string): NonNullable<Row['call']> =>
  async ({ token }, url) => {
    const what = 'the list of coins';
    return await waitFor(() => succeed(url, token, ['GET', '/crypto/coins']).then(() => ({ path })), {
      what,
    });
  };

const rows: Readonly<Record<string, Row>> = {
  'POST /api/v1/auth/register': { statuses: open(201), call: () => ({ body: account() }) },
  'POST /api/v1/auth/login': {
    statuses: open(200),
    call: ({ email, password }) => ({ body: { email, password } }),
  },
  'POST /api/v1/auth/refresh': {
    statuses: open(401),
    call: () => ({ body: { refresh_token: `ppr_${'x'.repeat(43)}` } }),
  },
  'POST /api/v1/auth/logout': { statuses: everyUser(200) },
  'POST /api/v1/auth/logout-everywhere': { statuses: everyUser(200) },
  'POST /api/v1/auth/stream-ticket': { statuses: { ...everyUser(200), 'wrong-scope key': 200 } },
  'POST /api/v1/auth/password': {
    statuses: everyUser(403),
    call: () => ({ body: { current_password: 'wrong horse 1', password: 'correct horse 3' } }),
  },
  'POST /api/v1/auth/password/forgot': { statuses: open(501), call: ({ email }) => ({ body: { email } }) },
  'POST /api/v1/auth/password/reset': {
    statuses: open(401),
    call: () => ({ body: { token: `ppp_${'x'.repeat(43)}`, password: 'correct horse 3' } }),
  },
  'GET /api/v1/users': { statuses: adminsOnly(200) },
  'POST /api/v1/users': { statuses: adminsOnly(201), call: () => ({ body: account() }) },
  'GET /api/v1/users/:id': { statuses: own(200), call: ({ id }) => ({ path: `/api/v1/users/${id}` }) },
  'PUT /api/v1/users/:id': {
    statuses: own(200),
    call: ({ id }) => ({ path: `/api/v1/users/${id}`, body: { username: `renamed-${++made}` } }),
  },
  'DELETE /api/v1/users/:id': {
    statuses: own(200),
    isFatal: true,
    call: ({ id, password }) => ({ path: `/api/v1/users/${id}`, body: { current_password: password } }),
  },
  'POST /api/v1/api-keys': {
    statuses: everyUser(201),
    call: () => ({ body: { name: 'a key', scopes: ['prices:read'] } }),
  },
  'GET /api/v1/api-keys': { statuses: everyUser(200) },
  'DELETE /api/v1/api-keys/:id': {
    statuses: own(200, 404),
    call: async ({ token }, url) => {
      const body = { name: 'to be revoked', scopes: ['prices:read'] };
      const { id } = await succeed(url, token, ['POST', '/api-keys', body]);
      return { path: `/api/v1/api-keys/${id}` };
    },
  },
  'GET /api/v1/usage': { statuses: everyUser(200) },
  'GET /api/v1/admin/usage': { statuses: adminsOnly(200) },
  'GET /api/v1/admin/audit': { statuses: adminsOnly(200) },
  'GET /api/v1/admin/config': { statuses: adminsOnly(200) },
  'GET /api/v1/crypto/stream/ws': { statuses: everyUser(426) },
  // Whoever has had all updates gets no stream, which would not end.
  'GET /api/v1/crypto/stream/prices': {
    statuses: everyUser(204),
    call: () => ({ path: '/api/v1/crypto/stream/prices?coins=bitcoin&max_updates=1&lastEventId=a.1.1' }),
  },
  'POST /api/v1/crypto/stream/portfolio': {
    statuses: everyUser(204),
    call: () => ({ body: { coins: ['bitcoin'], max_updates: 1 }, headers: { 'last-event-id': 'a.1.1' } }),
  },
  'GET /api/v1/crypto/cache/stats': { statuses: everyUser(200) },
  'DELETE /api/v1/crypto/cache': { statuses: adminsOnly(200) },
  'POST /api/v1/crypto/bulk': { statuses: everyUser(202), call: () => ({ body: { coins: ['bitcoin'] } }) },
  'POST /api/v1/crypto/portfolio': {
    statuses: everyUser(202),
    call: () => ({ body: { holdings: [{ coin: 'bitcoin', quantity: '1' }] } }),
  },
  'GET /api/v1/crypto/popular': { statuses: everyUser(200) },
  'GET /api/v1/crypto/search': {
    statuses: everyUser(200),
    call: whenListed('/api/v1/crypto/search?q=btc'),
  },
  'GET /api/v1/crypto/coins': { statuses: everyUser(200), call: whenListed('/api/v1/crypto/coins') },
  'GET /api/v3/ping': { statuses: anyKey(200) },
  'GET /api/v3/simple/price': {
    statuses: everyUser(200),
    call: () => ({ path: '/api/v3/simple/price?ids=bitcoin&vs_currencies=usd' }),
  },
  'GET /api/v3/simple/supported_vs_currencies': { statuses: everyUser(200) },
  'GET /api/v3/coins/markets': {
    statuses: everyUser(200),
    call: () => ({ path: '/api/v3/coins/markets?ids=bitcoin&vs_currency=usd' }),
  },
  'GET /api/v3/coins/:id/market_chart': {
    statuses: everyUser(200),
    call: whenListed('/api/v3/coins/bitcoin/market_chart?vs_currency=usd&days=7'),
  },
  'GET /api/v3/coins/:id/market_chart/range': {
    statuses: everyUser(200),
    call: whenListed(
      '/api/v3/coins/bitcoin/market_chart/range?vs_currency=usd&from=2026-01-01&to=2026-01-03',
    ),
  },
  'GET /api/v3/coins/:id/ohlc': {
    statuses: everyUser(200),
    call: whenListed('/api/v3/coins/bitcoin/ohlc?vs_currency=usd&days=7'),
  },
  'GET /api/v3/coins/:id/history': {
    statuses: everyUser(200),
    call: whenListed('/api/v3/coins/bitcoin/history?date=02-01-2026'),
  },
  'GET /api/v3/coins/:id': { statuses: everyUser(200), call: () => ({ path: '/api/v3/coins/bitcoin' }) },
  'GET /api/v3/search/trending': { statuses: everyUser(200) },
  'GET /api/v3/global': { statuses: everyUser(200) },
  'GET /api/v3/key': { statuses: anyKey(200) },
  'GET /api/v3/coins/list': { statuses: everyUser(200), call: whenListed('/api/v3/coins/list') },
  'GET /api/v3/search': { statuses: everyUser(200), call: whenListed('/api/v3/search?query=btc') },
  'GET /api/v1/crypto/:coinId': {
    statuses: everyUser(200),
    call: () => ({ path: '/api/v1/crypto/bitcoin' }),
  },
  // The key of the wrong scope may read portfolios: it sees jobs on these, and no others.
  'GET /api/v1/jobs': { statuses: anyKey(200) },
  'GET /api/v1/jobs/:id': { statuses: { ...own(200), 'wrong-scope key': 404 }, call: jobCall() },
  'DELETE /api/v1/jobs/:id': { statuses: own(200), call: jobCall() },
  'GET /api/v1/jobs/:id/events': {
    statuses: { ...own(200), 'wrong-scope key': 404 },
    call: jobCall('/events'),
  },
  'POST /api/v1/portfolios': { statuses: everyUser(201), call: () => ({ body: { name: 'books' } }) },
  'GET /api/v1/portfolios': { statuses: { ...everyUser(200), 'wrong-scope key': 200 } },
  'GET /api/v1/portfolios/:id': { statuses: ownBooks(200), call: portfolioCall() },
  'PATCH /api/v1/portfolios/:id': {
    statuses: own(200, 404),
    call: portfolioCall('', { body: { name: 'renamed' }, headers: anyVersion }),
  },
  'PUT /api/v1/portfolios/:id': {
    statuses: own(200, 404),
    call: portfolioCall('', { body: { name: 'renamed' }, headers: anyVersion }),
  },
  'DELETE /api/v1/portfolios/:id': {
    statuses: own(200, 404),
    call: portfolioCall('', { headers: anyVersion }),
  },
  'POST /api/v1/portfolios/:id/transactions': {
    statuses: own(201, 404),
    call: portfolioCall('/transactions', { body: purchase }),
  },
  'POST /api/v1/portfolios/:id/transactions/bulk': {
    statuses: own(201, 404),
    call: portfolioCall('/transactions/bulk', { body: { transactions: [purchase] } }),
  },
  'GET /api/v1/portfolios/:id/transactions': {
    statuses: ownBooks(200),
    call: portfolioCall('/transactions'),
  },
  'GET /api/v1/portfolios/:id/changes': { statuses: ownBooks(200), call: portfolioCall('/changes') },
  'GET /api/v1/portfolios/:id/transactions/:tid': { statuses: ownBooks(200), call: transactionCall() },
  'GET /api/v1/portfolios/:id/transactions/:tid/changes': {
    statuses: ownBooks(200),
    call: transactionCall('/changes'),
  },
  'PUT /api/v1/portfolios/:id/transactions/:tid': {
    statuses: own(200, 404),
    call: transactionCall('', { body: purchase, headers: anyVersion }),
  },
  'DELETE /api/v1/portfolios/:id/transactions/:tid': {
    statuses: own(200, 404),
    call: transactionCall('', { headers: anyVersion }),
  },
  'GET /api/v1/portfolios/:id/positions': { statuses: ownBooks(200), call: portfolioCall('/positions') },
  'GET /api/v1/portfolios/:id/lots': { statuses: ownBooks(200), call: portfolioCall('/lots') },
  'GET /api/v1/portfolios/:id/realised': { statuses: ownBooks(200), call: portfolioCall('/realised') },
  'POST /api/v1/portfolios/:id/rebuild': {
    statuses: own(202, 404),
    call: portfolioCall('/rebuild', { body: {} }),
  },
  'POST /api/v1/portfolios/:id/import': {
    statuses: own(202, 404),
    call: portfolioCall('/import', upload),
  },
  'GET /api/v1/portfolios/:id/imports': { statuses: ownBooks(200), call: portfolioCall('/imports') },
  'GET /api/v1/portfolios/:id/imports/:importId': { statuses: ownBooks(200), call: importCall },
  'GET /api/v1/portfolios/:id/export': { statuses: ownBooks(200), call: portfolioCall('/export') },
  'GET /api/v1/portfolios/:id/valuation': { statuses: ownBooks(200), call: portfolioCall('/valuation') },
  'GET /api/v1/portfolios/:id/history': { statuses: ownBooks(200), call: portfolioCall('/history') },
  'GET /api/v1/portfolios/:id/stream': { statuses: ownBooks(200), call: portfolioCall('/stream') },
  'GET /api/v1/portfolios/:id/performance': {
    statuses: ownBooks(202),
    call: portfolioCall('/performance', { headers: { prefer: 'respond-async' } }),
  },
  'POST /api/v1/portfolios/:id/performance': {
    statuses: ownBooks(202),
    call: portfolioCall('/performance', { body: { range: '30d' } }),
  },
  'GET /api/v1/webhooks/secret': { statuses: everyUser(200) },
  'POST /api/v1/webhooks/secret/rotate': { statuses: everyUser(200) },
  'GET /api/v1/webhooks/deliveries': { statuses: everyUser(200) },
  'GET /api/v1/webhooks/deliveries/:id': {
    statuses: own(200, 404),
    call: deliveryCall(),
  },
  'POST /api/v1/webhooks/deliveries/:id/retry': { statuses: own(202, 404), call: deliveryCall('/retry') },
  'POST /api/v1/webhooks/test': { statuses: everyUser(202), call: () => ({ body: { url: deafUrl } }) },
  'POST /api/v1/alerts': { statuses: everyUser(201), call: () => ({ body: alert }) },
  'GET /api/v1/alerts': { statuses: everyUser(200) },
  'GET /api/v1/alerts/firings': { statuses: everyUser(200) },
  'GET /api/v1/alerts/stream': { statuses: everyUser(200) },
  'GET /api/v1/alerts/:id': { statuses: own(200, 404), call: alertCall() },
  'PATCH /api/v1/alerts/:id': { statuses: own(200, 404), call: alertCall('', { body: { note: 'sell' } }) },
  'PUT /api/v1/alerts/:id': { statuses: own(200, 404), call: alertCall('', { body: { note: 'sell' } }) },
  'DELETE /api/v1/alerts/:id': { statuses: own(200, 404), call: alertCall() },
  'POST /api/v1/alerts/:id/rearm': { statuses: own(200, 404), call: alertCall('/rearm') },
  'GET /health/live': { statuses: open(200) },
  'GET /health/ready': { statuses: open(200) },
  'GET /health': { statuses: open(200) },
  'GET /metrics': { statuses: open(200) },
  'GET /openapi.json': { statuses: open(200) },
  'GET /docs': { statuses: open(200) },
};

describe('the access matrix', () => {
  let stack: Stack;
  let knex: Knex;
  let url: string;

  before(async () => {
    stack = await startStack({
      environment: {
        JWT_EXPIRES_IN: '5m',
        ASSET_SYNC: 'daily',
        ASSET_RANK_PAGES: '0',
        WEBHOOK_ALLOWED_NETWORKS: 'loopback',
      },
    });
    knex = openDatabase({ database: { connectionString: stack.databaseUrl, ssl: false }, poolSize: 2 });
    url = stack.apis[0]!.url;
  });

  after(async () => {
    await knex.destroy();
    await stack.stop();
  });

  it('has a row for every route, and no other', async () => {
    const api = await startApi();
    const table = api.routes.map(({ method, path }) => `${method} ${path}`);
    await api.close(0);
    expect(Object.keys(rows).toSorted()).to.deep.equal(table.toSorted());
  });

  it('pinned: what everybody gets', async () => {
    await expectPinned(
      'access',
      Object.fromEntries(Object.entries(rows).map(([name, { statuses }]) => [name, statuses])),
    );
  });

  for (const [name, row] of Object.entries(rows)) {
    it(name, async () => {
      const cast = await newCast(url, knex);
      const castFor = (): Promise<Cast> =>
        row.isFatal === true ? newCast(url, knex) : Promise.resolve(cast);
      const statuses: Partial<Record<Identity, number>> = {};
      // The owner comes last, because some rows end his session.
      for (const identity of identities.toSorted((a, b) => Number(a === 'user') - Number(b === 'user'))) {
        statuses[identity] = await statusFor(await castFor(), { name, row, identity });
      }
      expect(statuses).to.deep.equal(row.statuses);
    });
  }

  async function statusFor(
    { owner, credentials }: Cast,
    { name, row, identity }: { name: string; row: Row; identity: Identity },
  ): Promise<number> {
    const [method = '', template = ''] = name.split(' ');
    const { path = template, body, headers = {} } = (await row.call?.(owner, url)) ?? {};
    const credential = credentials[identity];
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    await response.body?.cancel();
    return response.status;
  }
});
