/** Ten thousand random bodies, made of the schemas of all routes, against the real application: none is a fault of ours. */
import { expect } from 'chai';
import fc from 'fast-check';
import { z } from 'zod';
import type { Route } from '../../../src/platform/http/route.ts';
import { generatedRuns } from '../../support/generated-runs.ts';
import { startAccessApi, type AccessApi } from '../../http/support/access.ts';

const bodiesInAll = 10_000;
/** Requests under way at once. */
const atOnce = 10;

const swap = {
  type: 'swap',
  executed_at: '2024-01-31T09:30:00+01:00',
  received: { asset: 'ethereum', quantity: '2' },
  sent: { asset: 'bitcoin', quantity: 0.1 },
  value: '4200',
  fee: { asset: 'binancecoin', quantity: '0.01', value: '3' },
  note: 'why not',
  sequence: 1,
};

/** A good body for each route that takes one; a route without fails the suite. */
const good: Readonly<Record<string, object>> = {
  'POST /api/v1/auth/register': {
    username: 'random',
    email: 'random@example.com',
    password: 'correct horse 1',
  },
  'POST /api/v1/auth/login': { email: 'random@example.com', password: 'correct horse 1' },
  'POST /api/v1/auth/refresh': { refresh_token: `ppr_${'x'.repeat(43)}` },
  'POST /api/v1/auth/password': { current_password: 'correct horse 1', password: 'correct horse 2' },
  'POST /api/v1/auth/password/forgot': { email: 'random@example.com' },
  'POST /api/v1/auth/password/reset': { token: `ppp_${'x'.repeat(43)}`, password: 'correct horse 2' },
  'POST /api/v1/users': {
    username: 'another',
    email: 'another@example.com',
    password: 'correct horse 1',
    role: 'user',
  },
  'PUT /api/v1/users/:id': { username: 'renamed', email: 'renamed@example.com', current_password: 'x 1' },
  'DELETE /api/v1/users/:id': { current_password: 'wrong horse 1' },
  'POST /api/v1/api-keys': { name: 'key', scopes: ['prices:read'], expires_in_days: 1, daily_quota: 1 },
  'POST /api/v1/crypto/stream/portfolio': {
    holdings: [{ coin: 'bitcoin', quantity: '1' }],
    interval: 2,
    max_updates: 1,
  },
  'POST /api/v1/crypto/bulk': {
    coins: ['bitcoin', 'ethereum'],
    symbols: ['btc'],
    currency: 'usd',
    timeout: 1,
    callback_url: 'https://hooks.example.com/in',
  },
  'POST /api/v1/alerts': {
    kind: 'change',
    coin: 'bitcoin',
    currency: 'usd',
    direction: 'below',
    threshold: '-5',
    window: 3600,
    hysteresis: { percent: '2' },
    repeat: 'every',
    fire_if_true: true,
    url: 'https://hooks.example.com/in',
    note: 'sell',
    enabled: true,
  },
  'PATCH /api/v1/alerts/:id': { threshold: 5, hysteresis: { absolute: 1 }, note: null, enabled: false },
  'PUT /api/v1/alerts/:id': { threshold: 5, hysteresis: { absolute: 1 }, note: null, enabled: false },
  'POST /api/v1/webhooks/test': { url: 'https://hooks.example.com/in' },
  'POST /api/v1/portfolios': {
    name: 'mine',
    base_currency: 'eur',
    method: 'hifo',
    time_zone: 'Europe/Berlin',
  },
  'PATCH /api/v1/portfolios/:id': { name: 'yours', method: 'lifo' },
  'PUT /api/v1/portfolios/:id': { name: 'yours', method: 'lifo' },
  'POST /api/v1/portfolios/:id/transactions': { id: '01934c2a-0000-7000-8000-0000000000dd', ...swap },
  'POST /api/v1/portfolios/:id/transactions/bulk': { transactions: [swap, swap] },
  'PUT /api/v1/portfolios/:id/transactions/:tid': swap,
  'POST /api/v1/portfolios/:id/rebuild': { timeout: 1, callback_url: 'https://hooks.example.com/in' },
  'POST /api/v1/portfolios/:id/performance': {
    range: '30d',
    benchmark: 'bitcoin',
    risk_free_rate: 0.02,
    timeout: 1,
  },
  'POST /api/v1/crypto/portfolio': { holdings: [{ coin: 'bitcoin', quantity: '1.5' }], currency: 'eur' },
};

const nasty = [
  '',
  ' ',
  '\0',
  '\r\nX: y',
  '\u2028',
  '\ud800',
  "'; drop table users; --",
  '${7*7}',
  '../../etc/passwd',
  '__proto__',
  '1e309',
  'NaN',
  'x'.repeat(5_000),
];

const value = fc.oneof(
  fc.constantFrom<unknown>(...nasty, null, true, 0, -1, 1.5, 1e308, Number.MAX_SAFE_INTEGER, [], {}),
  fc.string({ unit: 'binary' }),
  fc.jsonValue({ maxDepth: 4 }),
  fc.array(fc.oneof(fc.string(), fc.jsonValue({ maxDepth: 2 })), { maxLength: 20 }),
);

/** Names of the fields of a schema, whatever union it is. */
function fieldsOf(schema: z.ZodType): string[] {
  const described = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const parts = [
    described,
    ...(described.anyOf ?? []),
    ...(described.oneOf ?? []),
    ...(described.allOf ?? []),
  ];
  return parts.flatMap((part) => Object.keys((part as { properties?: object }).properties ?? {}));
}

/** JSON texts: good bodies with a few fields spoilt, objects of known and foreign fields, and anything at all. */
function bodiesOf(schema: z.ZodType, example: object): fc.Arbitrary<string> {
  const names = fc.constantFrom(...fieldsOf(schema), '__proto__', 'constructor', 'toString', 'id', 'role');
  const object = fc.array(fc.tuple(names, value), { maxLength: 6 });
  const textOf = (pairs: readonly (readonly [string, unknown])[]): string =>
    `{${pairs.map(([name, each]) => `${JSON.stringify(name)}:${JSON.stringify(each)}`).join(',')}}`;
  return fc.oneof(
    {
      weight: 4,
      arbitrary: object.map((pairs) => textOf([...Object.entries(example), ...pairs.slice(0, 2)])),
    },
    { weight: 3, arbitrary: object.map(textOf) },
    { weight: 2, arbitrary: fc.json({ maxDepth: 6 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  );
}

describe('random bodies', function () {
  this.timeout(120_000);
  let api: AccessApi;
  let routes: Route[];
  let token: string;

  before(async () => {
    const many = '100000000';
    api = await startAccessApi({
      environment: { RATE_LIMIT_ADDRESS: many, RATE_LIMIT_USER: many, REGISTRATIONS_PER_HOUR: '1000000' },
    });
    routes = api.routes.filter(({ body }) => body !== undefined);
    const { id } = await api.access.users.insert(
      { username: 'chief', email: 'chief@example.com', passwordHash: 'none', role: 'admin' },
      {},
    );
    const user = { id, username: 'chief', email: 'chief@example.com', role: 'admin', generation: 0 } as const;
    token = (await api.openSession(user)).token;
  });

  after(async () => {
    await api.end();
  });

  it('have a good example for every route that takes a body', () => {
    expect(Object.keys(good).toSorted()).to.deep.equal(
      routes.map(({ method, path }) => `${method} ${path}`).toSorted(),
    );
  });

  it(`are ${bodiesInAll} without a fault of ours`, async () => {
    const runs = Math.ceil(bodiesInAll / routes.length / atOnce);
    const seen = new Map<number, number>();
    for (const { method, path, body: schema } of routes) {
      const batch = fc.array(bodiesOf(schema!, good[`${method} ${path}`]!), {
        minLength: atOnce,
        maxLength: atOnce,
      });
      const property = fc.asyncProperty(batch, async (bodies) => {
        const statuses = await Promise.all(bodies.map((body) => send(method, path, body)));
        for (const status of statuses) seen.set(status, (seen.get(status) ?? 0) + 1);
        // 501: no mail server; 503: too many passwords to hash at once.
        expect(statuses.filter((status) => status >= 500 && status !== 501 && status !== 503)).to.deep.equal(
          [],
        );
      });
      await fc.assert(property, { numRuns: generatedRuns(runs) });
    }
    const sent = [...seen.values()].reduce((sum, count) => sum + count, 0);
    expect(sent).to.be.at.least(bodiesInAll);
    // Not all were refused at the door.
    expect([...seen.keys()]).to.include.members([200, 201, 202, 400, 422]);
  });

  async function send(method: string, path: string, body: string): Promise<number> {
    const response = await api.call(method, path.replace(':id', 'me'), {
      body,
      headers: { authorization: `Bearer ${token}` },
    });
    await response.body?.cancel();
    return response.status;
  }
});
