/**
 * A process that has not heard of a revocation yet still believes its credential, for two seconds at most. What is done in
 * that time must not outlive it. Here is a process that never hears.
 */
import { expect } from 'chai';
import { createAuthenticator } from '../../../src/features/accounts/authenticator.ts';
import { startAccessApi, type AccessApi } from '../support/access.ts';
import { as, newKey, newPerson, password, type Answer, type Person } from '../support/attack.ts';
import { startApi, type TestApi } from '../support/ports.ts';

const unknownKeys = {
  find: () => {
    throw new Error('no key is used here');
  },
  knows: () => false,
  dailyQuotaOf: () => undefined,
  flush: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

describe('attacks in the seconds of a revocation', () => {
  let api: AccessApi;
  let deaf: TestApi;
  let admin: Person;
  let joe: Person;

  before(async () => {
    api = await startAccessApi();
    const { tokens } = api.access;
    const authenticator = createAuthenticator({
      tokens,
      keys: unknownKeys,
      revocations: { covers: () => false, isKnown: () => true },
    });
    deaf = await startApi({ ...api.access, config: api.deps.config, authenticator });
  });

  after(async () => {
    await deaf.close(0);
    await api.end();
  });

  beforeEach(async () => {
    admin = await newPerson(api, 'root', 'admin');
    joe = await newPerson(api, 'joe');
  });

  const outcome = ({ status, body }: Answer): [number, string] => [status, body.error?.code];
  const refused: [number, string] = [401, 'token_revoked'];

  it('an admin who was demoted does not make himself or another admin again', async () => {
    const fallen = await newPerson(api, 'fallen', 'admin');
    const demotion = { body: { role: 'user' } };
    expect((await as(api, admin.token)('PUT', `/users/${fallen.id}`, demotion)).status).to.equal(200);
    const late = as(deaf, fallen.token);
    const promotion = { body: { role: 'admin' } };
    for (const id of ['me', joe.id])
      expect(outcome(await late('PUT', `/users/${id}`, promotion))).to.deep.equal(refused);
    const account = { username: 'puppet', email: 'puppet@example.com', password, role: 'admin' };
    expect(outcome(await late('POST', '/users', { body: account }))).to.deep.equal(refused);
    expect(outcome(await late('DELETE', `/users/${joe.id}`, { body: {} }))).to.deep.equal(refused);
    const key = { name: 'crown', scopes: ['admin'] };
    expect(outcome(await late('POST', '/api-keys', { body: key }))).to.deep.equal(refused);
    const roles = await api.knex('users').whereIn('id', [fallen.id, joe.id]).select('role');
    expect(roles).to.deep.equal([{ role: 'user' }, { role: 'user' }]);
    expect(await api.knex('users').where({ username: 'puppet' })).to.deep.equal([]);
  });

  const ends: [string, (person: Person) => Promise<unknown>][] = [
    [
      'a changed password',
      (person) =>
        as(api, person.token)('POST', '/auth/password', {
          body: { current_password: password, password: 'another horse 1' },
        }),
    ],
    ['a logout', (person) => as(api, person.token)('POST', '/auth/logout')],
    ['a logout everywhere', (person) => as(api, person.token)('POST', '/auth/logout-everywhere')],
    [
      'a deleted account',
      (person) => as(api, person.token)('DELETE', '/users/me', { body: { current_password: password } }),
    ],
  ];
  for (const [what, end] of ends) {
    it(`a token that ${what} has ended leaves no API key and no new name behind`, async () => {
      await end(joe);
      const late = as(deaf, joe.token);
      const key = { name: 'thief', scopes: ['prices:read'] };
      expect(outcome(await late('POST', '/api-keys', { body: key }))).to.deep.equal(refused);
      expect((await late('PUT', '/users/me', { body: { username: 'mine-now' } })).status).to.be.oneOf([
        401, 404,
      ]);
      expect(await api.knex('api_keys').where({ user_id: joe.id })).to.deep.equal([]);
      expect(await api.knex('users').where({ username: 'mine-now' })).to.deep.equal([]);
    });
  }

  it('a stolen token does not delete the account without the password', async () => {
    const without = await as(api, joe.token)('DELETE', '/users/me', { body: {} });
    expect(without.status).to.equal(422);
    const body = { current_password: 'wrong horse 1' };
    expect((await as(api, joe.token)('DELETE', '/users/me', { body })).status).to.equal(403);
    expect((await as(api, joe.token)('GET', '/users/me')).status).to.equal(200);
  });

  it('trying out which names are taken ends after twenty in an hour', async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 21; n++) {
      const { status } = await as(api, joe.token)('PUT', '/users/me', { body: { username: admin.name } });
      statuses.push(status);
    }
    expect(statuses).to.deep.equal([...Array.from({ length: 20 }, () => 409), 429]);
  });

  it('neighbours of an attacker behind one address are served: tokens anywhere, keys, logins and refreshes', async () => {
    const environment = { RATE_LIMIT_ADDRESS: '20' };
    const [here, there] = [
      await startAccessApi({ beside: api, environment }),
      await startAccessApi({ beside: api, environment }),
    ];
    try {
      const { key } = await newKey(api, joe.token, { scopes: ['prices:read'] });
      expect((await as(there, key)('GET', '/crypto/cache/stats')).status).to.equal(200);
      for (let n = 0; n < 30; n++) await as(here, 'garbage')('GET', '/users/me');
      for (let n = 0; n < 30; n++) await as(there, 'garbage')('GET', '/users/me');
      expect((await as(there, 'garbage')('GET', '/users/me')).status).to.equal(429);
      expect((await as(there, joe.token)('GET', '/users/me')).status).to.equal(200);
      expect((await as(there, key)('GET', '/crypto/cache/stats')).status).to.equal(200);
      const login = { body: { email: joe.email, password } };
      expect((await as(there, '')('POST', '/auth/login', login)).status).to.equal(200);
      const refresh = { body: { refresh_token: joe.refreshToken } };
      expect((await as(there, '')('POST', '/auth/refresh', refresh)).status).to.equal(200);
    } finally {
      await here.end();
      await there.end();
    }
  });
});
