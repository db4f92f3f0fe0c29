import { expect } from 'chai';
import type { Knex } from 'knex';
import { openDatabase } from '../../db/connection.ts';
import { createUserQueries } from '../../db/queries/users.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startApi, type TestApi } from './support/ports.ts';

const joe = { username: 'joe', email: 'Joe@Example.com', password: 'correct horse 1' };

describe('accounts', () => {
  let database: TestDatabase;
  let knex: Knex;
  let api: TestApi;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 5 });
    api = await startApi({ users: createUserQueries(knex) });
  });

  beforeEach(async () => {
    await knex('users').delete();
  });

  after(async () => {
    await api.close(0);
    await knex.destroy();
    await database.drop();
  });

  const register = async (body: object) => api.call('POST', '/api/v1/auth/register', { body });
  const login = async (body: object) => api.call('POST', '/api/v1/auth/login', { body });
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
  const read = async (response: Response): Promise<any> => JSON.parse(await response.text());

  it('registers, logs in, and is let in with the token', async () => {
    const registered = await register(joe);
    const { data } = await read(registered);
    expect(registered.status).to.equal(201);
    expect(data).to.deep.equal({ id: data.id, username: 'joe', email: 'joe@example.com' });

    const session = await login({ email: ' JOE@example.com', password: joe.password });
    const { token, expires_in, user } = (await read(session)).data;
    expect(session.status).to.equal(200);
    expect(expires_in).to.equal(60);
    expect(user).to.deep.equal({ ...data, role: 'user' });
    const headers = { authorization: `Bearer ${token}` };
    expect((await api.call('GET', '/api/v1/crypto/cache/stats', { headers })).status).to.equal(200);
    const [row] = await knex('users').select('password_hash');
    expect(row.password_hash).to.match(/^\$2b\$/);
  });

  it('refuses a name or an address that is taken in any case, and says not which', async () => {
    await register(joe);
    const sameName = await register({ ...joe, username: 'JOE', email: 'other@example.com' });
    const sameAddress = await register({ ...joe, username: 'other', email: 'JOE@example.com' });
    expect([sameName.status, sameAddress.status]).to.deep.equal([409, 409]);
    const [first, second] = [await read(sameName), await read(sameAddress)];
    expect(first.error).to.deep.equal(second.error);
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
    expect((await read(wrong)).error).to.deep.equal((await read(unknown)).error);
  });

  it('does not know an account that was deleted, and gives its name free', async () => {
    await register(joe);
    await knex('users').update({ deleted_at: new Date() });
    expect((await login(credentials())).status).to.equal(401);
    expect((await register(joe)).status).to.equal(201);
  });

  function credentials(): object {
    return { email: joe.email, password: joe.password };
  }

  const wrong: [string, object, string][] = [
    ['a short name', { username: 'jo' }, 'username'],
    ['a long name', { username: 'j'.repeat(51) }, 'username'],
    ['a name with markup', { username: '<b>joe</b>' }, 'username'],
    ['no address', { email: 'joe' }, 'email'],
    ['a long address', { email: `${'j'.repeat(250)}@example.com` }, 'email'],
    ['a short password', { password: 'short 1' }, 'password'],
    ['a password without digits', { password: 'correct horse' }, 'password'],
    ['a password without letters', { password: '1234567890' }, 'password'],
    ['a password of 73 bytes', { password: `1${'é'.repeat(36)}` }, 'password'],
    ['a password with a zero character', { password: 'abc\0defg1' }, 'password'],
    ['a role', { role: 'admin' }, 'role'],
  ];
  for (const [what, different, field] of wrong) {
    it(`refuses ${what}`, async () => {
      const response = await register({ ...joe, ...different });
      const { error } = await read(response);
      expect(response.status).to.equal(422);
      expect(error.fields.map((each: { field: string }) => each.field)).to.include(field);
      expect(await knex('users').select('id')).to.deep.equal([]);
    });
  }

  it('says 503 while Postgres is away', async () => {
    const gone = openDatabase({ database: { host: '127.0.0.1', port: 1, ssl: false }, poolSize: 2 });
    const lost = await startApi({ users: createUserQueries(gone) });
    const response = await lost.call('POST', '/api/v1/auth/login', { body: credentials() });
    expect([response.status, response.headers.get('retry-after')]).to.deep.equal([503, '1']);
    expect((await read(response)).error.code).to.equal('database_unavailable');
    await lost.close(0);
    await gone.destroy();
  });
});
