/** API keys as their owner, a program and an admin meet them, over a real database and a real Redis. */
import { expect } from 'chai';
import { waitFor } from '../support/wait-for.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
type Body = any;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly code: string | undefined;
  readonly data: Body;
}

const stats = '/api/v1/crypto/cache/stats';
const password = 'correct horse 1';

describe('API keys', () => {
  let api: AccessApi;
  let other: AccessApi;
  let token: string;
  let userId: string;
  let users = 0;

  before(async () => {
    api = await startAccessApi({ environment: { REGISTRATIONS_PER_HOUR: '1000' } });
    other = await startAccessApi({ beside: api });
  });

  after(async () => {
    await other.end();
    await api.end();
  });

  beforeEach(async () => {
    users += 1;
    const account = { username: `joe-${users}`, email: `joe-${users}@example.com`, password };
    userId = (await call('POST', '/api/v1/auth/register', { body: account })).data.id;
    token = await login();
  });

  async function login(): Promise<string> {
    const body = { email: `joe-${users}@example.com`, password };
    return (await call('POST', '/api/v1/auth/login', { body })).data.token as string;
  }

  interface CallOptions {
    readonly body?: object;
    readonly bearer?: string;
    readonly headers?: Record<string, string>;
    readonly at?: AccessApi;
  }

  async function call(
    method: string,
    path: string,
    { body, bearer = token, headers = {}, at = api }: CallOptions = {},
  ): Promise<Answer> {
    const response = await at.call(method, path, {
      ...(body === undefined ? {} : { body }),
      headers: { authorization: bearer === '' ? '' : `Bearer ${bearer}`, ...headers },
    });
    const answer = JSON.parse(await response.text());
    return {
      status: response.status,
      headers: response.headers,
      code: answer.error?.code,
      data: answer.data,
    };
  }

  const make = (body: object): Promise<Answer> =>
    call('POST', '/api/v1/api-keys', { body: { name: 'bot', scopes: ['prices:read'], ...body } });

  it('are shown once, and stored as a hash', async () => {
    const { status, headers, data } = await make({ daily_quota: 100, expires_in_days: 30 });
    expect([status, headers.get('cache-control')]).to.deep.equal([201, 'no-store']);
    expect(data.key).to.match(/^ppk_[\w-]{43}$/);
    expect(data).to.include({ name: 'bot', prefix: data.key.slice(0, 12), daily_quota: 100 });
    const listed = (await call('GET', '/api/v1/api-keys')).data;
    expect(listed.map((each: Body) => each.id)).to.deep.equal([data.id]);
    expect(JSON.stringify(listed)).to.not.include(data.key);
    const rows = await api.knex('api_keys').where({ id: data.id });
    expect(JSON.stringify(rows)).to.not.include(data.key.slice(12));
  });

  it('are taken as bearer token and as X-Api-Key, for what they may and nothing else', async () => {
    const { data } = await make({});
    expect((await call('GET', stats, { bearer: data.key })).status).to.equal(200);
    expect((await call('GET', stats, { bearer: '', headers: { 'x-api-key': data.key } })).status).to.equal(
      200,
    );
    const job = await call('POST', '/api/v1/crypto/bulk', { bearer: data.key, body: { coins: ['bitcoin'] } });
    expect([job.status, job.code]).to.deep.equal([403, 'scope_missing']);
  });

  it('cannot make keys, change the account, or see what only a person may', async () => {
    const { data } = await make({
      scopes: ['prices:read', 'jobs:write', 'portfolio:read', 'portfolio:write'],
    });
    for (const [method, path, body] of [
      ['POST', '/api/v1/api-keys', { name: 'more', scopes: ['prices:read'] }],
      ['GET', '/api/v1/api-keys', undefined],
      ['PUT', '/api/v1/users/me', { username: 'other' }],
      ['DELETE', '/api/v1/users/me', undefined],
      ['POST', '/api/v1/auth/logout-everywhere', undefined],
      ['POST', '/api/v1/auth/password', { current_password: password, password: 'correct horse 2' }],
    ] as const) {
      const { status, code } = await call(method, path, {
        bearer: data.key,
        ...(body === undefined ? {} : { body }),
      });
      expect([status, code], `${method} ${path}`).to.deep.equal([403, 'session_required']);
    }
  });

  it('speak for an admin only with the scope, and only while the owner is one', async () => {
    expect((await make({ scopes: ['admin'] })).status).to.equal(403);
    await api.knex('users').where({ id: userId }).update({ role: 'admin' });
    token = await login();
    const plain = (await make({})).data.key as string;
    const full = (await make({ scopes: ['admin', 'prices:read'] })).data.key as string;
    expect((await call('GET', '/api/v1/users', { bearer: plain })).status).to.equal(403);
    expect((await call('GET', '/api/v1/users', { bearer: full })).status).to.equal(200);
    expect((await call('GET', '/api/v1/users', { bearer: full, at: other })).status).to.equal(200);
    const admin = { username: `made-${users}`, email: `made-${users}@example.com`, password, role: 'admin' };
    const made = await call('POST', '/api/v1/users', { bearer: full, body: admin });
    expect([made.status, made.code]).to.deep.equal([403, 'session_required']);

    const { id } = await api.access.users.insert(
      {
        username: `chief-${users}`,
        email: `chief-${users}@example.com`,
        passwordHash: 'none',
        role: 'admin',
      },
      {},
    );
    const { revocations } = await api.access.users.update({
      id: userId,
      changes: { role: 'user' },
      by: { actorId: id },
    });
    await api.access.revocations.announce(revocations);
    for (const at of [api, other]) {
      await waitFor(async () => (await call('GET', '/api/v1/users', { bearer: full, at })).status === 403, {
        what: 'the end of the admin',
        timeoutMs: 15_000,
      });
      expect((await call('GET', stats, { bearer: full, at })).status).to.equal(200);
    }
  });

  it('are void in every process within two seconds of being revoked', async () => {
    const { id, key } = (await make({})).data;
    expect((await call('GET', stats, { bearer: key, at: other })).status).to.equal(200);
    expect((await call('DELETE', `/api/v1/api-keys/${id}`)).status).to.equal(200);
    expect((await call('GET', stats, { bearer: key })).code).to.equal('key_invalid');
    await waitFor(async () => (await call('GET', stats, { bearer: key, at: other })).status === 401, {
      what: 'the revocation',
      timeoutMs: 15_000,
    });
    expect((await call('DELETE', `/api/v1/api-keys/${id}`)).status).to.equal(404);
  });

  it('outlive a change of password, and end with the account', async () => {
    const { key } = (await make({})).data;
    const body = { current_password: password, password: 'correct horse 2' };
    expect((await call('POST', '/api/v1/auth/password', { body })).status).to.equal(200);
    expect((await call('GET', stats, { bearer: key })).status).to.equal(200);
    const again = { email: `joe-${users}@example.com`, password: body.password };
    token = (await call('POST', '/api/v1/auth/login', { body: again })).data.token;
    const farewell = { body: { current_password: 'correct horse 2' } };
    expect((await call('DELETE', '/api/v1/users/me', farewell)).status).to.equal(200);
    expect((await call('GET', stats, { bearer: key })).status).to.equal(401);
  });

  it('expire', async () => {
    const { id, key } = (await make({ expires_in_days: 1 })).data;
    expect((await call('GET', stats, { bearer: key, at: other })).status).to.equal(200);
    await api
      .knex('api_keys')
      .where({ id })
      .update({ expires_at: new Date(Date.now() - 1_000) });
    expect((await call('GET', stats, { bearer: key })).code).to.equal('key_invalid');
  });

  it('have a daily quota that counts over the fleet', async () => {
    const { key } = (await make({ daily_quota: 4 })).data;
    const statuses: number[] = [];
    for (const at of [api, other, api, other]) {
      const { status, headers } = await call('GET', stats, { bearer: key, at });
      statuses.push(status);
      expect(headers.get('ratelimit-policy')).to.include('"quota";q=4;w=86400');
    }
    const refused = await call('GET', stats, { bearer: key });
    expect([...statuses, refused.status]).to.deep.equal([200, 200, 200, 200, 429]);
    expect(refused.headers.get('ratelimit')).to.include('"quota";r=0');
    expect(Number(refused.headers.get('retry-after'))).to.be.within(1, 86_400);
  });

  it('tell when they were last used, at the latest when the process ends', async () => {
    const { key } = (await make({})).data;
    const third = await startAccessApi({ beside: api });
    expect((await call('GET', stats, { bearer: key, at: third })).status).to.equal(200);
    const before = (await call('GET', '/api/v1/api-keys')).data[0].last_used_at;
    await third.end();
    const after = (await call('GET', '/api/v1/api-keys')).data[0].last_used_at;
    expect([before, typeof after]).to.deep.equal([null, 'string']);
  });

  it('are fifty at most', async () => {
    // One after the other: each waits for the row of the user holding a connection, and the pool has few of them.
    for (let made = 0; made < 49; made++) expect((await make({})).status).to.equal(201);
    const atOnce = await Promise.all([make({}), make({}), make({})]);
    expect(atOnce.map(({ status }) => status)).to.have.members([201, 409, 409]);
    const { status, code } = await make({});
    expect([status, code]).to.deep.equal([409, 'too_many_keys']);
  });

  it('are not made up: a key that nobody has is 401', async () => {
    for (const key of [`ppk_${'x'.repeat(43)}`, 'ppk_short', `ppk_${'x'.repeat(500)}`]) {
      expect((await call('GET', stats, { bearer: key })).status).to.equal(401);
    }
  });
});
