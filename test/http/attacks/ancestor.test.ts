/**
 * Attacks that worked on the system this one descends from: rows of others, raw columns, a published secret, any HMAC, tokens
 * for ever, tokens of the deleted, and numbers that end a process. What is found in logs stands in logs.test.ts.
 */
import { expect } from 'chai';
import jwt from 'jsonwebtoken';
import { ConfigError, exampleSecret, loadConfig } from '../../../src/platform/config/load-config.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startAccessApi, type AccessApi } from '../support/access.ts';
import { testSecret } from '../support/stand-in-access.ts';
import {
  as,
  claimsOf,
  goodHeader,
  kidOf,
  newKey,
  newPerson,
  password,
  sign,
  signAnything,
  type Answer,
  type Body,
  type Person,
} from '../support/attack.ts';

/** From tutorials, templates and the documentation of tools; the last ones are long enough to look like secrets. */
const publishedSecrets = [
  'secret',
  'changeme',
  'jwt_secret',
  'supersecret',
  'your-secret-key',
  'your_jwt_secret_key',
  'your-256-bit-secret',
  'secretsecretsecretsecretsecretsecret',
  'changemechangemechangemechangeme1234',
  'a-string-secret-at-least-256-bits-long',
  'your-super-secret-jwt-key-change-this-in-production',
  'your_super_secret_jwt_key_here_change_it_1234567890',
  'super-secret-jwt-token-with-at-least-32-characters-long',
  'my-32-character-ultra-secure-and-ultra-long-secret',
  '0123456789abcdef0123456789abcdef',
  exampleSecret,
];

/** Limits have tests of their own. */
const environment = { RATE_LIMIT_ADDRESS: '1000000' };

describe('attacks on what an account is', () => {
  let api: AccessApi;
  let other: AccessApi;
  let joe: Person;
  let ann: Person;

  before(async () => {
    api = await startAccessApi({ environment });
    other = await startAccessApi({ beside: api, environment });
  });
  beforeEach(async () => {
    [joe, ann] = [await newPerson(api, 'joe'), await newPerson(api, 'ann')];
  });
  after(async () => {
    await other.end();
    await api.end();
  });

  const rowOf = (id: string): Promise<Body> => api.knex('users').where({ id }).first();
  const logsIn = async (email: string, given = password): Promise<number> =>
    (await as(api, '')('POST', '/auth/login', { body: { email, password: given } })).status;

  const mine = 'mine@example.com';
  const takeovers: [string, (victim: Person) => [string, string, object], number][] = [
    ['by his id', ({ id }) => ['PUT', `/users/${id}`, { email: mine }], 404],
    ['by his id in capitals', ({ id }) => ['PUT', `/users/${id.toUpperCase()}`, { email: mine }], 404],
    [
      'by his id, with the password of the attacker',
      ({ id }) => ['PUT', `/users/${id}`, { email: mine, current_password: password }],
      404,
    ],
    ['by his e-mail in the path', ({ email }) => ['PUT', `/users/${email}`, { email: mine }], 404],
    ['by his name in the path', ({ name }) => ['PUT', `/users/${name}`, { email: mine }], 404],
    ['by his id in the body', ({ id }) => ['PUT', '/users/me', { id, email: mine }], 422],
    ['by user_id in the body', ({ id }) => ['PUT', '/users/me', { user_id: id, email: mine }], 422],
    ['by his id in the query', ({ id }) => ['PUT', `/users/me?id=${id}`, { email: mine }], 422],
    ['by a path that climbs', ({ id }) => ['PUT', `/users/me%2f..%2f${id}`, { email: mine }], 404],
    ['by PATCH', ({ id }) => ['PATCH', `/users/${id}`, { email: mine }], 405],
    ['by POST', ({ id }) => ['POST', `/users/${id}`, { email: mine }], 405],
    ['by creating him again', ({ id }) => ['POST', '/users', { id, email: mine }], 403],
  ];
  for (const [how, attack, status] of takeovers) {
    it(`changing another user's e-mail ${how} is answered ${status} and changes nobody`, async () => {
      const [annBefore, joeBefore] = [await rowOf(ann.id), await rowOf(joe.id)];
      const [method, path, body] = attack(ann);
      expect((await as(api, joe.token)(method, path, { body })).status).to.equal(status);
      expect(await rowOf(ann.id)).to.deep.equal(annBefore);
      expect(await rowOf(joe.id)).to.deep.equal(joeBefore);
    });
  }

  it("taking another's e-mail as one's own is answered 409, in any spelling of its case", async () => {
    for (const email of [ann.email, ann.email.toUpperCase(), ` ${ann.email} `]) {
      const body = { email, current_password: password };
      expect((await as(api, joe.token)('PUT', '/users/me', { body })).status).to.equal(409);
    }
  });

  it('a method override in a header or the query is not followed', async () => {
    const headers = {
      'x-http-method-override': 'DELETE',
      'x-http-method': 'DELETE',
      'x-method-override': 'PUT',
    };
    for (const path of [`/users/me`, '/users/me?_method=DELETE'])
      expect((await as(api, joe.token)('GET', path, { headers })).status).to.equal(200);
    expect(await logsIn(joe.email)).to.equal(200);
  });

  const hash = '$2b$04$abcdefghijklmnopqrstuuJ6Zb1eUQ1G1X1F1B1n1B1n1B1n1B1n1';
  const columns: Record<string, unknown> = {
    password_hash: hash,
    passwordHash: hash,
    hash,
    password_digest: hash,
    generation: 99,
    deleted_at: null,
    deletedAt: null,
    created_at: '2000-01-01T00:00:00Z',
    id: '01934c2a-0000-7000-8000-000000000001',
    isAdmin: true,
    scopes: ['admin'],
    username_lower: 'root',
    'users.password_hash': hash,
    'password_hash=excluded.password_hash--': hash,
  };
  interface Writing {
    readonly method: string;
    readonly path: string;
    readonly body: () => object;
    readonly extra?: Record<string, unknown>;
  }
  const writings: Writing[] = [
    { method: 'PUT', path: '/users/me', body: () => ({ username: 'another-name' }), extra: { password } },
    {
      method: 'POST',
      path: '/auth/register',
      body: () => ({ username: 'mallory', email: 'mallory@example.com', password }),
      extra: { role: 'admin' },
    },
    {
      method: 'POST',
      path: '/auth/password',
      body: () => ({ current_password: password, password: 'another horse 1' }),
      extra: { role: 'admin', email: mine, username: 'root' },
    },
    {
      method: 'POST',
      path: '/auth/login',
      body: () => ({ email: joe.email, password }),
      extra: { role: 'admin' },
    },
  ];
  for (const { method, path, body, extra = {} } of writings) {
    it(`writing a hash or another raw column through ${method} ${path} is answered 422 and writes nothing`, async () => {
      const rows = await api.knex('users').orderBy('id');
      for (const [column, value] of Object.entries({ ...columns, ...extra })) {
        const answer = await as(api, joe.token)(method, path, { body: { ...body(), [column]: value } });
        const fields = answer.body.error.fields?.map(({ field }: Body) => field);
        expect([answer.status, fields], column).to.deep.equal([422, [column]]);
      }
      expect(await api.knex('users').orderBy('id')).to.deep.equal(rows);
      expect(await logsIn(joe.email)).to.equal(200);
    });
  }

  it('a hash that is given as the password does not open the account whose hash it is', async () => {
    const { password_hash } = await rowOf(ann.id);
    expect(await logsIn(ann.email, password_hash)).to.equal(401);
  });

  /** Answers to the requests that a token would open. */
  const trials = (token: string, at = api): Promise<Answer[]> =>
    Promise.all([
      as(at, token)('GET', '/users/me'),
      as(at, token)('GET', '/users'),
      as(at, '')('GET', '/users', { headers: { 'x-api-key': token } }),
      as(at, token)('GET', '/crypto/cache/stats'),
    ]);
  const statuses = async (token: string, at = api): Promise<number[]> =>
    (await trials(token, at)).map(({ status }) => status);
  const shut = [401, 401, 401, 401];

  it('what the forgeries below are made of would be let in with the real secret', async () => {
    expect(await statuses(sign(claimsOf(joe)))).to.deep.equal([200, 403, 403, 200]);
  });

  for (const secret of publishedSecrets) {
    it(`a token forged with the published secret ${secret.slice(0, 30)} is refused, whatever its kid`, async () => {
      const claims = claimsOf(joe, { role: 'admin' });
      for (const keyid of [kidOf(testSecret), kidOf(secret), secret, ''])
        expect(await statuses(jwt.sign(claims, secret, { keyid })), keyid).to.deep.equal(shut);
      expect(await statuses(jwt.sign(claims, secret))).to.deep.equal(shut);
    });

    it(`in production the server does not start with ${secret.slice(0, 30)}, and does not print it`, () => {
      for (const name of ['JWT_SECRET', 'JWT_SECRET_PREVIOUS']) {
        const problem = problemOf({ ...production, [name]: secret });
        expect(problem, name).to.include(`- ${name} `);
        // Short ones are words that the names of settings are made of.
        if (secret.length > 20) expect(problem).not.to.include(secret);
      }
    });
  }

  function problemOf(environment: Record<string, string>): string {
    try {
      loadConfig(environment);
    } catch (error) {
      return error instanceof ConfigError ? error.message : String(error);
    }
    return 'it starts';
  }

  const production = {
    APP_ENV: 'production',
    DATABASE_URL: 'postgres://pricepool@db.example/pricepool',
    REDIS_URL: 'redis://redis.example',
    PROVIDER: 'coingecko',
    JWT_SECRET: 'Zk3vQ0b8sYw1nT6uXe9rJm2hLc5aGd7fPi4o',
  };

  it('in production the server does not start without a secret, and does with a random one', () => {
    expect(loadConfig(production).JWT_SECRET).to.equal(production.JWT_SECRET);
    for (const JWT_SECRET of ['', '   ', undefined])
      expect(() => loadConfig({ ...production, JWT_SECRET })).to.throw(ConfigError, 'JWT_SECRET is required');
  });

  for (const algorithm of ['HS384', 'HS512'] as const) {
    it(`a token signed by ${algorithm} with the real secret is refused`, async () => {
      expect(await statuses(sign(claimsOf(joe), { algorithm }))).to.deep.equal(shut);
    });
  }

  it('a token without expiry is refused, though the real secret signed it', async () => {
    const claims = claimsOf(joe);
    expect(await statuses(signAnything(goodHeader, claims))).to.deep.equal([200, 403, 403, 200]);
    const until = (exp: unknown): string => signAnything(goodHeader, { ...claims, exp });
    for (const exp of [undefined, null, 'never', '9999999999', true, [9_999_999_999], {}, -1, 0])
      expect(await statuses(until(exp)), JSON.stringify(exp)).to.deep.equal(shut);
  });

  it("a deleted user's token, key, ticket, refresh token and password open nothing, in any process within 2 s", async () => {
    const { key } = await newKey(api, joe.token, { scopes: ['prices:read', 'jobs:write'] });
    const ticket: string = (await as(api, joe.token)('POST', '/auth/stream-ticket')).body.data.ticket;
    const held = (at: AccessApi): Promise<number[]> =>
      Promise.all(
        [
          as(at, joe.token)('GET', '/crypto/cache/stats'),
          as(at, key)('GET', '/crypto/cache/stats'),
          as(at, '')('GET', '/crypto/cache/stats', { headers: { 'x-api-key': key } }),
          // There is no such job, which nobody but users is told.
          as(at, '')('GET', `/jobs/${joe.id}/events?ticket=${ticket}`),
        ].map(async (requested) => (await requested).status),
      );
    for (const at of [api, other]) expect(await held(at)).to.deep.equal([200, 200, 200, 404]);

    expect(
      (await as(api, joe.token)('DELETE', '/users/me', { body: { current_password: password } })).status,
    ).to.equal(200);
    expect(await held(api)).to.deep.equal(shut);
    await waitFor(async () => (await held(other)).every((status) => status === 401), {
      what: 'the other process to hear of it',
      timeoutMs: 15_000,
    });
    for (const at of [api, other]) {
      const body = { refresh_token: joe.refreshToken };
      expect((await as(at, '')('POST', '/auth/refresh', { body })).status).to.equal(401);
    }
    expect(await logsIn(joe.email)).to.equal(401);
    expect(await statuses(ann.token)).to.deep.equal(
      [200, 403, 401, 200].map((each, at) => (at === 2 ? 403 : each)),
    );
  });

  it("a deleted user's token is not known to a process that starts later", async () => {
    await as(api, joe.token)('DELETE', '/users/me', { body: { current_password: password } });
    const late = await startAccessApi({ beside: api, environment });
    const found = await statuses(joe.token, late);
    await late.end();
    expect(found).to.deep.equal(shut);
  });
});
