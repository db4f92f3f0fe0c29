/**
 * Attacks on what belongs to others, and on what a request may set: ids of others wherever an id stands, fields that nobody
 * offered, and texts that would like to be SQL, markup or a format. What is tried is made of the route table.
 */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { scopes as knownScopes } from '../../../src/domain/scopes.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startAccessApi, type AccessApi } from '../support/access.ts';
import { as, newKey, newPerson, password, type Body, type Person } from '../support/attack.ts';

const environment = { RATE_LIMIT_ADDRESS: '1000000', REGISTRATIONS_PER_HOUR: '1000000' };

describe('attacks on objects', () => {
  let api: AccessApi;
  let other: AccessApi;
  let joe: Person;
  let ann: Person;
  let root: Person;

  before(async () => {
    api = await startAccessApi({ environment });
    other = await startAccessApi({ beside: api, environment });
  });
  beforeEach(async () => {
    [joe, ann, root] = [
      await newPerson(api, 'joe'),
      await newPerson(api, 'ann'),
      await newPerson(api, 'root', 'admin'),
    ];
  });
  after(async () => {
    await other.end();
    await api.end();
  });

  it('the API key of another is listed to nobody else, and revoking it is answered as if there were none', async () => {
    const { id, key } = await newKey(api, joe.token, { scopes: ['prices:read'] });
    for (const thief of [ann.token, root.token]) {
      expect((await as(api, thief)('GET', '/api-keys')).body.data).to.deep.equal([]);
      for (const each of [id, id.toUpperCase(), uuidv7(), joe.id, 'me', '*', '%']) {
        const answer = await as(api, thief)('DELETE', `/api-keys/${encodeURIComponent(each)}`);
        expect([answer.status, answer.body.error.code]).to.deep.equal([404, 'key_not_found']);
      }
    }
    expect((await as(api, key)('GET', '/crypto/cache/stats')).status).to.equal(200);
  });

  it('a key cannot make keys, read or change accounts, or revoke itself', async () => {
    const scopes = [...knownScopes];
    const { id, key } = await newKey(api, root.token, { scopes });
    const mine = as(api, key);
    const tries: [string, string, object | undefined][] = [
      ['POST', '/api-keys', { name: 'another', scopes }],
      ['DELETE', `/api-keys/${id}`, undefined],
      ['GET', '/users/me', undefined],
      ['PUT', `/users/${joe.id}`, { role: 'admin' }],
      ['DELETE', `/users/${joe.id}`, undefined],
      ['POST', '/auth/password', { current_password: password, password: 'another horse 1' }],
      ['POST', '/auth/logout-everywhere', undefined],
    ];
    for (const [method, path, body] of tries) {
      const answer = await mine(method, path, body === undefined ? {} : { body });
      expect([answer.status, answer.body.error.code], path).to.deep.equal([403, 'session_required']);
    }
  });

  it('a key with the scope admin is refused to who is no admin, and none is made', async () => {
    for (const scopes of [
      ['admin'],
      ['prices:read', 'admin'],
      ['ADMIN'],
      ['admin '],
      ['*'],
      [],
      'admin',
      { 0: 'admin' },
    ]) {
      const answer = await as(api, joe.token)('POST', '/api-keys', { body: { name: 'mine', scopes } });
      expect(answer.status).to.be.oneOf([403, 422]);
    }
    expect(await api.knex('api_keys').where({ user_id: joe.id })).to.deep.equal([]);
  });

  it('a key, a ticket and a session of an admin who is one no more open nothing for admins within 2 s, in any process', async () => {
    const { key } = await newKey(api, root.token, { scopes: ['prices:read', 'admin'] });
    const held = (at: AccessApi): Promise<number[]> =>
      Promise.all([root.token, key].map(async (each) => (await as(at, each)('GET', '/users')).status));
    for (const at of [api, other]) expect(await held(at)).to.deep.equal([200, 200]);
    const boss = await newPerson(api, 'boss', 'admin');
    const demotion = await as(api, boss.token)('PUT', `/users/${root.id}`, { body: { role: 'user' } });
    expect(demotion.status).to.equal(200);
    expect(await held(api)).to.deep.equal([401, 403]);
    await waitFor(async () => (await held(other)).join() === '401,403', {
      what: 'the demotion',
      timeoutMs: 15_000,
    });
    const cleared = await as(other, key)('DELETE', '/crypto/cache');
    expect(cleared.status).to.equal(403);
    expect((await as(other, key)('GET', '/crypto/cache/stats')).status).to.equal(200);
  });

  const purchase = {
    type: 'buy',
    executed_at: '2024-01-31T09:30:00Z',
    received: { asset: 'bitcoin', quantity: '1' },
    value: '42000',
  };

  /** A body that each route takes; what it asks for is not done, because each is sent with a field too many. */
  const bodies: Record<string, (who: Person) => object> = {
    'POST /api/v1/auth/register': ({ name }) => ({
      username: `x${name}`,
      email: `x${name}@example.com`,
      password,
    }),
    'POST /api/v1/auth/login': ({ email }) => ({ email, password }),
    'POST /api/v1/auth/refresh': ({ refreshToken }) => ({ refresh_token: refreshToken }),
    'POST /api/v1/auth/password': () => ({ current_password: password, password: 'another horse 1' }),
    'POST /api/v1/auth/password/forgot': ({ email }) => ({ email }),
    'POST /api/v1/auth/password/reset': () => ({ token: `ppp_${'a'.repeat(43)}`, password }),
    'POST /api/v1/users': ({ name }) => ({ username: `y${name}`, email: `y${name}@example.com`, password }),
    'PUT /api/v1/users/:id': ({ name }) => ({ username: `z${name}` }),
    'DELETE /api/v1/users/:id': () => ({ current_password: 'wrong horse 1' }),
    'POST /api/v1/crypto/stream/portfolio': () => ({ coins: ['bitcoin'] }),
    'POST /api/v1/api-keys': () => ({ name: 'a key', scopes: ['prices:read'] }),
    'POST /api/v1/crypto/bulk': () => ({ coins: ['bitcoin'], callback_url: 'https://hooks.example.com/' }),
    'POST /api/v1/alerts': () => ({ kind: 'price', coin: 'bitcoin', direction: 'above', threshold: '1' }),
    'PATCH /api/v1/alerts/:id': () => ({ note: 'sell' }),
    'PUT /api/v1/alerts/:id': () => ({ note: 'sell' }),
    'POST /api/v1/webhooks/test': () => ({ url: 'https://hooks.example.com/' }),
    'POST /api/v1/portfolios': () => ({ name: 'mine' }),
    'PATCH /api/v1/portfolios/:id': () => ({ name: 'yours' }),
    'PUT /api/v1/portfolios/:id': () => ({ name: 'yours' }),
    'POST /api/v1/portfolios/:id/transactions': () => purchase,
    'POST /api/v1/portfolios/:id/transactions/bulk': () => ({ transactions: [purchase] }),
    'PUT /api/v1/portfolios/:id/transactions/:tid': () => purchase,
    'POST /api/v1/portfolios/:id/rebuild': () => ({ timeout: 1 }),
    'POST /api/v1/portfolios/:id/performance': () => ({ range: '30d' }),
    'POST /api/v1/crypto/portfolio': () => ({ holdings: [{ coin: 'bitcoin', quantity: '1' }] }),
  };
  const withBodies = () => api.routes.filter(({ body }) => body !== undefined);
  const tempting = [
    ...[
      'id',
      'user_id',
      'userId',
      'owner',
      'created_at',
      'deleted_at',
      'generation',
      'isAdmin',
      'is_admin',
      'admin',
    ],
    ...[
      'hash',
      'password_hash',
      'passwordHash',
      'prefix',
      'secret',
      'key_hash',
      'revoked_at',
      'session_id',
      'sid',
    ],
    ...[
      'result',
      'state',
      'work_key',
      'priority',
      'jobId',
      'attempts',
      'callback',
      'webhook',
      'url',
      '$where',
      '$ne',
    ],
    ...[
      'constructor',
      'prototype',
      'toString',
      'hasOwnProperty',
      'length',
      '',
      ' ',
      '0',
      'a.b',
      'a[b]',
      'ｉｄ',
      'Id',
    ],
  ];

  it('every body of the route table refuses every field that it does not name, with 422, and does nothing', async () => {
    expect(
      withBodies()
        .map(({ method, path }) => `${method} ${path}`)
        .toSorted(),
    ).to.deep.equal(Object.keys(bodies).toSorted());
    const state = async (): Promise<unknown> => ({
      users: await api.knex('users').orderBy('id'),
      keys: await api.knex('api_keys').orderBy('id'),
      spent: await api.knex('refresh_tokens').whereNotNull('used_at'),
      jobs: api.clientJobs.submitted.length,
    });
    const before = await state();
    for (const { method, path, access } of withBodies()) {
      const { token } = access === 'admin' ? root : joe;
      const body = bodies[`${method} ${path}`]!(joe);
      for (const field of tempting) {
        const url = path.replace('/api/v1', '').replace(':id', 'me');
        const answer = await as(api, token)(method, url, { body: { ...body, [field]: 'admin' } });
        expect(answer.status, `${field} in ${path}: ${answer.text}`).to.equal(422);
      }
    }
    expect(await state()).to.deep.equal(before);
  });

  it('fields that are too many inside a list or an object of the body are refused as well', async () => {
    for (const more of [{ price: 1 }, { asset: 'x' }, { constructor: 1 }]) {
      const body = { holdings: [{ coin: 'bitcoin', quantity: '1', ...more }] };
      expect((await as(api, joe.token)('POST', '/crypto/portfolio', { body })).status).to.equal(422);
    }
  });

  const texts = [
    ...[
      "' or '1'='1",
      "'; drop table users; --",
      "x'); update users set role='admin'; --",
      "' union select 1,2,3--",
    ],
    ...[
      "\\' or 1=1 --",
      '" or ""="',
      '$$; select pg_sleep(5); $$',
      '%',
      '_',
      '*',
      '1; select pg_sleep(5)',
      '$1',
      '?',
    ],
    ...[
      '{{7*7}}',
      '${7*7}',
      '#{7*7}',
      '<script>alert(1)</script>',
      '%s%s%n',
      '\u0000',
      'a\u0000b',
      '\ud800',
      '\uffff',
    ],
    ...[
      '../../../etc/passwd',
      '..\\..',
      'file:///etc/passwd',
      '\r\nSet-Cookie: a=b',
      '\u202e',
      '😀'.repeat(50),
    ],
    ...['__proto__', 'constructor', 'null', 'undefined', 'NaN', '[object Object]', 'x'.repeat(5_000)],
  ];

  it('SQL, markup and formats in every text of every body are never a 500, and run nowhere', async function () {
    this.timeout(120_000);
    const before = await api.knex('users').where({ id: ann.id }).first();
    for (const { method, path, access } of withBodies()) {
      const who = access === 'admin' ? root : joe;
      const body = bodies[`${method} ${path}`]!(who);
      const url = path.replace('/api/v1', '').replace(':id', 'me');
      for (const name of Object.keys(body)) {
        // One after the other: many at once are told that too many log in.
        for (const text of texts) {
          const answer = await as(api, who.token)(method, url, { body: { ...body, [name]: text } });
          expect(answer.status, `${name}: ${text}: ${answer.text}`).to.be.below(500);
        }
      }
    }
    expect(await api.knex('users').where({ id: ann.id }).first()).to.deep.equal(before);
    expect(
      await api.knex('users').where({ role: 'admin' }).whereNot('username', 'like', '%-%'),
    ).to.deep.equal([]);
  });

  it('SQL, markup and formats in every parameter of path and query are never a 500', async function () {
    this.timeout(120_000);
    const { paths } = (await (await api.call('GET', '/openapi.json')).json()) as Body;
    const urls = parametersOf(paths).flatMap(({ method, path, place, name }) =>
      texts.map((each): [string, string] => {
        // Lone surrogates cannot be encoded.
        const text = encodeURIComponent(Buffer.from(each).toString());
        return [method, place === 'path' ? path.replace(/\{.*\}/, text) : `${path}?${name}=${text}`];
      }),
    );
    expect(urls).to.have.length.above(500);
    for (const [method, url] of urls) {
      const { status, text } = await as(api, root.token)(method, url);
      expect(status, `${method} ${url}: ${text}`).to.be.within(200, 499);
    }
    expect(await api.knex('users').where({ id: root.id, deleted_at: null })).to.have.length(1);
  });

  it('SQL, formats and odd values in the headers that mean something are never a 500', async () => {
    const names = [
      'idempotency-key',
      'prefer',
      'if-none-match',
      'last-event-id',
      'x-request-id',
      'x-forwarded-for',
    ];
    const others = [
      'origin',
      'accept',
      'accept-encoding',
      'content-language',
      'expect',
      'range',
      'user-agent',
      'forwarded',
    ];
    const values = texts.filter((text) => /^[\x20-\x7e]*$/.test(text));
    for (const name of [...names, ...others.filter((each) => each !== 'expect')]) {
      for (const value of values) {
        const options = { headers: { [name]: value }, body: { coins: ['bitcoin'] } };
        const { status, text } = await as(api, joe.token)('POST', '/crypto/bulk', options);
        expect(status, `${name}: ${value}: ${text}`).to.be.within(200, 499);
        expect(
          (await as(api, joe.token)('GET', `/jobs/${joe.id}`, { headers: { [name]: value } })).status,
        ).to.equal(404);
      }
    }
  });

  it('no audit event has another text of the attacker than the address and the id that we gave', async () => {
    const evil = '{"type":"account.role_changed"}\n';
    const headers = {
      'x-request-id': evil.trim(),
      'user-agent': evil.trim(),
      'x-forwarded-for': evil.trim(),
    };
    await as(api, '')('POST', '/auth/login', { body: { email: ann.email, password: evil }, headers });
    const find = () =>
      api.knex('audit_events').where({ type: 'login.failed', user_id: ann.id }).first() as Promise<Body>;
    const event = await waitFor(find, { what: 'the event' });
    expect([event.address, event.detail]).to.deep.equal(['127.0.0.1', {}]);
    expect(event.request_id).to.match(/^[a-z0-9-]+$/);
  });
});

interface Parameter {
  readonly method: string;
  /** Below `/api/v1`. */
  readonly path: string;
  readonly place: string;
  readonly name: string;
}

/** What may stand in paths and queries, by the OpenAPI document. */
function parametersOf(paths: Body): Parameter[] {
  return Object.entries<Body>(paths).flatMap(([path, methods]) =>
    Object.entries<Body>(methods).flatMap(([method, { parameters = [] }]) =>
      parameters
        .filter((each: Body) => each.in !== 'header' && path.startsWith('/api/v1'))
        .map((each: Body) => ({
          method: method.toUpperCase(),
          path: path.replace('/api/v1', ''),
          place: each.in,
          name: each.name,
        })),
    ),
  );
}
