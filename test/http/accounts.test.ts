/** Registering, sessions and their ends, as a client meets them, over a real database and a real Redis. */
import { expect } from 'chai';
import { createUserQueries } from '../../src/features/accounts/queries/users.ts';
import { openDatabase } from '../../db/connection.ts';
import { createSessionQueries } from '../../src/features/accounts/queries/sessions.ts';
import { createSessions } from '../../src/features/accounts/sessions.ts';
import { createSuccession, hashOfSecret } from '../../src/features/accounts/secrets.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { waitFor } from '../support/wait-for.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';
import { startApi } from './support/ports.ts';
import { testSecret } from './support/stand-in-access.ts';

const joe = { username: 'joe', email: 'Joe@Example.com', password: 'correct horse 1' };
const stats = '/api/v1/crypto/cache/stats';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
type Body = any;

interface Answer {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
}

describe('accounts', () => {
  let api: AccessApi;
  let other: AccessApi;

  before(async () => {
    api = await startAccessApi({ environment: { REGISTRATIONS_PER_HOUR: '1000' } });
    other = await startAccessApi({ beside: api });
  });

  beforeEach(async () => {
    await api.knex.raw('truncate users, sessions, refresh_tokens, api_keys, password_resets cascade');
  });

  after(async () => {
    await other.end();
    await api.end();
  });

  interface Sender {
    readonly token?: string;
    readonly at?: AccessApi;
  }

  async function post(
    path: string,
    body: object | undefined,
    { token = '', at = api }: Sender = {},
  ): Promise<Answer> {
    const headers = { authorization: `Bearer ${token}` };
    const response = await at.call('POST', `/api/v1/auth/${path}`, {
      ...(body === undefined ? {} : { body }),
      headers,
    });
    return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) };
  }

  const register = (body: object): Promise<Answer> => post('register', body);
  const login = (body: object = credentials()): Promise<Answer> => post('login', body);
  const credentials = (): object => ({ email: joe.email, password: joe.password });

  /** Status and error code of a read with this token. */
  async function read(token: string, at = api): Promise<[number, string | undefined]> {
    const response = await at.call('GET', stats, { headers: { authorization: `Bearer ${token}` } });
    const body = JSON.parse(await response.text());
    return [response.status, body.error?.code];
  }

  it('registers, logs in, and is let in with the token', async () => {
    const registered = await register(joe);
    const { data } = registered.body;
    expect(registered.status).to.equal(201);
    expect(data).to.deep.equal({ id: data.id, username: 'joe', email: 'joe@example.com' });

    const session = await login({ email: ' JOE@example.com', password: joe.password });
    const { token, expires_in, user } = session.body.data;
    expect([session.status, session.headers.get('cache-control')]).to.deep.equal([200, 'no-store']);
    expect(expires_in).to.equal(900);
    expect(user).to.deep.equal({ ...data, role: 'user' });
    expect(await read(token)).to.deep.equal([200, undefined]);
    const [row] = await api.knex('users').select('password_hash');
    expect(row.password_hash).to.match(/^\$2b\$/);
  });

  it('refuses a name or an address that is taken in any case, and says not which', async () => {
    await register(joe);
    const sameName = await register({ ...joe, username: 'JOE', email: 'other@example.com' });
    const sameAddress = await register({ ...joe, username: 'other', email: 'JOE@example.com' });
    expect([sameName.status, sameAddress.status]).to.deep.equal([409, 409]);
    expect(sameName.body.error).to.deep.equal(sameAddress.body.error);
  });

  it('lets one of many registrations at once through', async () => {
    const statuses = await Promise.all(Array.from({ length: 8 }, async () => (await register(joe)).status));
    expect(statuses.toSorted()).to.deep.equal([201, ...Array.from({ length: 7 }, () => 409)]);
  });

  it('answers a wrong password and an unknown address alike', async () => {
    await register(joe);
    const wrong = await login({ email: joe.email, password: 'correct horse 2' });
    const unknown = await login({ email: 'nobody@example.com', password: joe.password });
    expect([wrong.status, unknown.status]).to.deep.equal([401, 401]);
    expect(wrong.body.error).to.deep.equal(unknown.body.error);
  });

  it('holds the name of a deleted account', async () => {
    await register(joe);
    const { token } = (await login()).body.data;
    const gone = await api.call('DELETE', '/api/v1/users/me', {
      body: { current_password: joe.password },
      headers: { authorization: `Bearer ${token}` },
    });
    expect(gone.status).to.equal(200);
    expect((await login()).status).to.equal(401);
    expect((await register(joe)).status).to.equal(409);
  });

  it('hashes a password again at login when the cost has risen', async () => {
    await register(joe);
    const dearer = await startAccessApi({ beside: api, environment: { BCRYPT_COST: '5' } });
    try {
      expect((await post('login', credentials(), { at: dearer })).status).to.equal(200);
      await waitFor(async () => (await hashOf()).startsWith('$2b$05$'), { what: 'the new hash' });
      expect((await login()).status).to.equal(200);
    } finally {
      await dearer.end();
    }
  });

  async function hashOf(): Promise<string> {
    const row = await api.knex('users').first<{ password_hash: string }>('password_hash');
    return row.password_hash;
  }

  describe('a session', () => {
    let grant: Body;

    beforeEach(async () => {
      await register(joe);
      grant = (await login()).body.data;
    });

    const refresh = (token: string, at = api): Promise<Answer> =>
      post('refresh', { refresh_token: token }, { at });

    it('goes on with its refresh token, in any process', async () => {
      const next = await refresh(grant.refresh_token, other);
      expect(next.status).to.equal(200);
      expect(next.body.data.user).to.deep.equal(grant.user);
      expect(next.body.data.refresh_token).to.not.equal(grant.refresh_token);
      expect(await read(next.body.data.token)).to.deep.equal([200, undefined]);
      expect((await refresh(next.body.data.refresh_token)).status).to.equal(200);
    });

    it('ends when a refresh token comes a second time, for thief and owner', async () => {
      const next = (await refresh(grant.refresh_token)).body.data;
      await letPass(30);
      const replayed = await refresh(grant.refresh_token, other);
      expect([replayed.status, replayed.body.error.code]).to.deep.equal([401, 'refresh_reused']);
      expect((await refresh(next.refresh_token)).body.error.code).to.equal('refresh_invalid');
      await waitFor(async () => (await read(next.token))[1] === 'token_revoked', { what: 'the revocation' });
      const [event] = await api.knex('audit_events').where({ type: 'session.reuse_detected' });
      expect(event.user_id).to.equal(grant.user.id);
    });

    it('ends when a refresh token comes again after its successor was used, however soon', async () => {
      const next = (await refresh(grant.refresh_token)).body.data;
      const third = (await refresh(next.refresh_token, other)).body.data;
      const replayed = await refresh(grant.refresh_token);
      expect([replayed.status, replayed.body.error.code]).to.deep.equal([401, 'refresh_reused']);
      expect((await refresh(third.refresh_token)).body.error.code).to.equal('refresh_invalid');
      await waitFor(async () => (await read(third.token))[1] === 'token_revoked', { what: 'the revocation' });
    });

    it('gives the same successor again for 30 s, in any process, so that a lost answer ends nothing', async () => {
      const lost = (await refresh(grant.refresh_token)).body.data;
      await letPass(25);
      const again = await refresh(grant.refresh_token, other);
      expect(again.status).to.equal(200);
      expect(again.body.data.refresh_token).to.equal(lost.refresh_token);
      expect(await read(again.body.data.token)).to.deep.equal([200, undefined]);
      expect((await refresh(again.body.data.refresh_token)).status).to.equal(200);
      const event = { type: 'session.reuse_detected', user_id: grant.user.id };
      expect(await api.knex('audit_events').where(event)).to.have.length(0);
    });

    it('gives two who bring the same refresh token at once the same successor', async () => {
      const both = await Promise.all([refresh(grant.refresh_token), refresh(grant.refresh_token, other)]);
      expect(both.map(({ status }) => status)).to.deep.equal([200, 200]);
      const [one, two] = both.map(({ body }) => body.data);
      expect(one.refresh_token).to.equal(two.refresh_token);
      for (const { token } of [one, two]) expect(await read(token)).to.deep.equal([200, undefined]);
      expect((await refresh(one.refresh_token)).status).to.equal(200);
    });

    it('stores nothing of a successor but its hash', async () => {
      const { refresh_token: successor } = (await refresh(grant.refresh_token)).body.data;
      const { rows } = await api.knex.raw('select encode(hash, ?) as hash from refresh_tokens', ['hex']);
      const stored = (rows as { hash: string }[]).map(({ hash }) => hash);
      const hashes = [grant.refresh_token, successor].map((secret) => hashOfSecret(secret).toString('hex'));
      expect(stored).to.have.members(hashes);
    });

    describe('while the secret is changed', () => {
      const changed: AccessApi[] = [];
      afterEach(async () => {
        for (const each of changed.splice(0)) await each.end();
      });

      /** One more process, with other secrets. */
      async function withSecrets(JWT_SECRET: string, JWT_SECRET_PREVIOUS?: string): Promise<AccessApi> {
        const previous = JWT_SECRET_PREVIOUS === undefined ? {} : { JWT_SECRET_PREVIOUS };
        const started = await startAccessApi({ beside: api, environment: { JWT_SECRET, ...previous } });
        changed.push(started);
        return started;
      }
      const newSecret = 'the secret that comes after that of the tests';

      it('gives the successor that was made under the secret of before', async () => {
        const before = (await refresh(grant.refresh_token)).body.data;
        const after = await refresh(grant.refresh_token, await withSecrets(newSecret, testSecret));
        expect([after.status, after.body.data.refresh_token]).to.deep.equal([200, before.refresh_token]);
      });

      it('is 503 in a process that does not know the secret of a successor, and ends nothing', async () => {
        const renewed = await withSecrets(newSecret, testSecret);
        const made = (await refresh(grant.refresh_token, renewed)).body.data;
        const here = await refresh(grant.refresh_token);
        expect([here.status, here.body.error.code]).to.deep.equal([503, 'refresh_elsewhere']);
        expect(here.headers.get('retry-after')).to.equal('1');
        const again = await refresh(grant.refresh_token, renewed);
        expect(again.body.data.refresh_token).to.equal(made.refresh_token);
        expect((await refresh(made.refresh_token)).status).to.equal(200);
      });
    });

    /** Moves the times at which refresh tokens were used into the past. */
    async function letPass(seconds: number): Promise<void> {
      await api.knex.raw("update refresh_tokens set used_at = used_at - ? * interval '1 second'", [seconds]);
    }

    it('does not go on after its time', async () => {
      await api.knex('sessions').update({ expires_at: new Date(Date.now() - 1_000) });
      expect((await refresh(grant.refresh_token)).status).to.equal(401);
    });

    it('ends with a logout, in every process, and no other session does', async () => {
      const elsewhere = (await login()).body.data;
      expect((await post('logout', undefined, { token: grant.token })).status).to.equal(200);
      expect(await read(grant.token)).to.deep.equal([401, 'token_revoked']);
      expect((await refresh(grant.refresh_token)).status).to.equal(401);
      await waitFor(async () => (await read(grant.token, other))[0] === 401, { what: 'the other process' });
      expect(await read(elsewhere.token, other)).to.deep.equal([200, undefined]);
    });

    it('ends with a logout everywhere', async () => {
      const elsewhere = (await login()).body.data;
      await read(elsewhere.token, other);
      expect((await post('logout-everywhere', undefined, { token: grant.token })).status).to.equal(200);
      await waitFor(async () => (await read(elsewhere.token, other))[0] === 401, { what: 'the revocation' });
      expect((await refresh(elsewhere.refresh_token)).status).to.equal(401);
      expect((await login()).status).to.equal(200);
    });

    it('is one of fifty: the oldest gives way', async () => {
      for (let n = 0; n < 50; n++) await api.openSession({ ...grant.user, generation: 0 });
      expect((await refresh(grant.refresh_token)).status).to.equal(401);
      const live = await api.knex('sessions').whereNull('ended_at');
      expect(live).to.have.length(50);
    });
  });

  const wrong: [string, object, string][] = [
    ['a short name', { username: 'jo' }, 'username'],
    ['a long name', { username: 'j'.repeat(51) }, 'username'],
    ['a name with markup', { username: '<b>joe</b>' }, 'username'],
    ['a look-alike name', { username: 'jоe' }, 'username'],
    ['no address', { email: 'joe' }, 'email'],
    ['a long address', { email: `${'j'.repeat(250)}@example.com` }, 'email'],
    ['an address with a Kelvin sign', { email: '\u212Aelvin@example.com' }, 'email'],
    ['an address with a line break', { email: 'joe@example.com\r\nBcc: all@example.com' }, 'email'],
    ['a short password', { password: 'short 1' }, 'password'],
    ['a password without digits', { password: 'correct horse' }, 'password'],
    ['a password without letters', { password: '1234567890' }, 'password'],
    ['a password of 73 bytes', { password: `1${'é'.repeat(36)}` }, 'password'],
    ['a password with a zero character', { password: 'abc\0defg1' }, 'password'],
    ['a role', { role: 'admin' }, 'role'],
    ['a password hash', { password_hash: '$2b$04$' }, 'password_hash'],
    ['an id', { id: '01934c2a-0000-7000-8000-000000000001' }, 'id'],
  ];
  for (const [what, different, field] of wrong) {
    it(`refuses ${what}`, async () => {
      const { status, body } = await register({ ...joe, ...different });
      expect(status).to.equal(422);
      expect(body.error.fields.map((each: { field: string }) => each.field)).to.include(field);
      expect(await api.knex('users').select('id')).to.deep.equal([]);
    });
  }

  it('is closed to strangers where the operator says so', async () => {
    const closed = await startAccessApi({ beside: api, environment: { REGISTRATION: 'closed' } });
    const { status, body } = await post('register', joe, { at: closed });
    expect([status, body.error.code]).to.deep.equal([403, 'registration_closed']);
    await closed.end();
  });

  it('says 503 while Postgres is away', async () => {
    const gone = openDatabase({ database: { host: '127.0.0.1', port: 1, ssl: false }, poolSize: 2 });
    const life = { revocationSeconds: 60 };
    const sessions = createSessions({
      ...api.access,
      queries: createSessionQueries(gone, life),
      users: createUserQueries(gone, life),
      successorsOf: createSuccession({ secret: testSecret }),
      log: silentLogger(),
      throttle: { begin: () => Promise.resolve({ isKnown: false, succeeded: () => Promise.resolve() }) },
      refreshExpiresInSeconds: 60,
    });
    const lost = await startApi({ sessions });
    const response = await lost.call('POST', '/api/v1/auth/login', { body: credentials() });
    expect([response.status, response.headers.get('retry-after')]).to.deep.equal([503, '1']);
    expect(JSON.parse(await response.text()).error.code).to.equal('database_unavailable');
    await lost.close(0);
    await gone.destroy();
  });
});
