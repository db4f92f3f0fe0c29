import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { hashOfSecret, newSecret } from '../../src/features/accounts/secrets.ts';
import { UnavailableError } from '../../src/domain/errors.ts';
import { createUserQueries } from '../../src/features/accounts/queries/users.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
type Body = any;

interface Answer {
  readonly status: number;
  readonly body: Body;
}

const password = 'correct horse 1';
const nextPassword = 'correct horse 2';

describe('passwords over HTTP', () => {
  let api: AccessApi;
  const mails: string[] = [];
  let mailFails = false;

  before(async () => {
    const requestMail = (mail: { email: string }): Promise<void> => {
      if (mailFails) return Promise.reject(new UnavailableError('no queue', { code: 'queue_unavailable' }));
      mails.push(mail.email);
      return Promise.resolve();
    };
    api = await startAccessApi({ environment: { REGISTRATIONS_PER_HOUR: '1000000' }, requestMail });
  });
  beforeEach(() => {
    mails.length = 0;
    mailFails = false;
  });
  after(() => api.end());

  /** Requests with a token; empty for none. */
  function as(token: string): (method: string, path: string, body?: unknown) => Promise<Answer> {
    return async (method, path, body) => {
      const response = await api.call(method, `/api/v1${path}`, {
        headers: { authorization: token === '' ? '' : `Bearer ${token}` },
        ...(body === undefined ? {} : { body }),
      });
      return { status: response.status, body: JSON.parse(await response.text()) };
    };
  }
  const call = as('');

  const login = (email: string, given: string): Promise<Answer> =>
    call('POST', '/auth/login', { email, password: given });

  async function person(): Promise<{ id: string; email: string; token: string; refreshToken: string }> {
    const name = `p-${uuidv7()}`;
    const email = `${name}@example.com`;
    const made = await call('POST', '/auth/register', { username: name, email, password });
    expect(made.status).to.equal(201);
    const { body } = await login(email, password);
    return { id: made.body.data.id, email, token: body.data.token, refreshToken: body.data.refresh_token };
  }

  async function resetFor(userId: string, expiresInSeconds = 60): Promise<string> {
    const token = newSecret('reset');
    const queries = createUserQueries(api.knex, { revocationSeconds: 900 });
    await queries.storeReset({ userId, hash: hashOfSecret(token), expiresInSeconds, by: {} });
    return token;
  }

  it('are changed with the current one; every session ends at once', async () => {
    const ada = await person();
    const elsewhere = (await login(ada.email, password)).body.data.token as string;
    const body = { current_password: password, password: nextPassword };
    const changed = await as(ada.token)('POST', '/auth/password', body);
    expect(changed).to.deep.include({ status: 200 });
    expect(changed.body.message).to.contain('every session has ended');
    for (const token of [ada.token, elsewhere])
      expect((await as(token)('GET', '/users/me')).status).to.equal(401);
    expect((await call('POST', '/auth/refresh', { refresh_token: ada.refreshToken })).status).to.equal(401);
    expect((await login(ada.email, password)).status).to.equal(401);
    expect((await login(ada.email, nextPassword)).status).to.equal(200);
  });

  it('are not changed with a wrong one, and guessing is slowed down as at the login', async () => {
    const ada = await person();
    const guess = (): Promise<Answer> =>
      as(ada.token)('POST', '/auth/password', { current_password: 'wrong horse 1', password: nextPassword });
    const first = await guess();
    expect([first.status, first.body.error.code]).to.deep.equal([403, 'password_wrong']);
    const further: Answer[] = [];
    for (let i = 0; i < 8; i++) further.push(await guess());
    expect(further.at(-1)).to.deep.include({ status: 429 });
    expect(further.at(-1)?.body.error.code).to.equal('login_throttled');
    expect((await as(ada.token)('GET', '/users/me')).status).to.equal(200);
  });

  it('are for people: no anonymous caller and no API key changes one', async () => {
    const ada = await person();
    const made = await as(ada.token)('POST', '/api-keys', { name: 'k', scopes: ['prices:read'] });
    const body = { current_password: password, password: nextPassword };
    const byKey = await as(made.body.data.key)('POST', '/auth/password', body);
    expect([byKey.status, byKey.body.error.code]).to.deep.equal([403, 'session_required']);
    expect((await call('POST', '/auth/password', body)).status).to.equal(401);
    expect((await login(ada.email, password)).status).to.equal(200);
  });

  it('follow the same rules as at the registration, everywhere', async () => {
    const ada = await person();
    const token = await resetFor(ada.id);
    for (const bad of ['short1', 'no digit here', `a1${'é'.repeat(36)}`, 'a1\0bcdefg']) {
      const changed = await as(ada.token)('POST', '/auth/password', {
        current_password: password,
        password: bad,
      });
      const reset = await call('POST', '/auth/password/reset', { token, password: bad });
      expect([changed.status, reset.status]).to.deep.equal([422, 422]);
      expect(changed.body.error.fields[0].field).to.equal('password');
    }
    expect((await call('POST', '/auth/password/reset', { token, password: nextPassword })).status).to.equal(
      200,
    );
  });

  it('are reset with a token, once; every session ends', async () => {
    const ada = await person();
    const token = await resetFor(ada.id);
    const tries = await Promise.all(
      [nextPassword, 'correct horse 3'].map((next) =>
        call('POST', '/auth/password/reset', { token, password: next }),
      ),
    );
    expect(tries.map(({ status }) => status).sort()).to.deep.equal([200, 401]);
    const late = await call('POST', '/auth/password/reset', { token, password: 'correct horse 4' });
    expect([late.status, late.body.error.code]).to.deep.equal([401, 'reset_invalid']);
    expect((await as(ada.token)('GET', '/users/me')).status).to.equal(401);
    const winner = tries[0]?.status === 200 ? nextPassword : 'correct horse 3';
    expect((await login(ada.email, winner)).status).to.equal(200);
  });

  it('are not reset with tokens that are expired, made up or of another kind', async () => {
    const ada = await person();
    const tokens = [
      await resetFor(ada.id, -1),
      newSecret('reset'),
      ada.refreshToken,
      ada.token.slice(0, 200),
      'x',
    ];
    for (const token of tokens) {
      const { status, body } = await call('POST', '/auth/password/reset', { token, password: nextPassword });
      expect([status, body.error.code]).to.deep.equal([401, 'reset_invalid']);
    }
    expect((await login(ada.email, password)).status).to.equal(200);
  });

  it('that are forgotten bring a mail, and no word on whether there is an account', async () => {
    const ada = await person();
    const responses: Answer[] = [];
    for (const email of [ada.email.toUpperCase(), 'nobody@example.com'])
      responses.push(await call('POST', '/auth/password/forgot', { email }));
    expect(responses.map(({ status }) => status)).to.deep.equal([202, 202]);
    expect(responses[0]?.body).to.deep.equal(responses[1]?.body);
    expect(mails).to.deep.equal([ada.email, 'nobody@example.com']);
    mailFails = true;
    expect((await call('POST', '/auth/password/forgot', { email: ada.email })).status).to.equal(503);
  });

  it('that are forgotten too often are heard no more', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++)
      statuses.push((await call('POST', '/auth/password/forgot', { email: 'often@example.com' })).status);
    expect(statuses.at(-1)).to.equal(429);
    expect(mails.length).to.be.at.most(3);
  });
});

describe('passwords over HTTP, without a mail server', () => {
  let api: AccessApi;
  before(async () => (api = await startAccessApi()));
  after(() => api.end());

  it('are reset by the operator', async () => {
    const response = await api.call('POST', '/api/v1/auth/password/forgot', {
      body: { email: 'a@example.com' },
    });
    const { error } = (await response.json()) as Body;
    expect([response.status, error.code]).to.deep.equal([501, 'mail_not_configured']);
    expect(error.detail).to.contain('operator');
  });
});
