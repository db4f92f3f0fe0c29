/** Users, the audit log and the settings, as people and admins meet them, over a real database and a real Redis. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { settings } from '../../src/platform/config/settings.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';
import { testSecret } from './support/stand-in-access.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
type Body = any;

interface Answer {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
}

interface Person {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly token: string;
}

const password = 'correct horse 1';
const mailServer = 'smtp://mailer:very-secret@mail.example:587';

describe('users', () => {
  let api: AccessApi;
  let joe: Person;
  let ann: Person;
  let root: Person;

  before(async () => {
    const environment = {
      REGISTRATIONS_PER_HOUR: '1000000',
      SMTP_URL: mailServer,
      COINGECKO_BASE_URL: 'http://somebody:in-the-url@upstream.example/api/v3',
    };
    api = await startAccessApi({ environment });
  });
  beforeEach(async () => {
    await api.knex.raw('truncate users, sessions, refresh_tokens, api_keys, password_resets cascade');
    [joe, ann, root] = [await person('joe'), await person('ann'), await person('root', 'admin')];
  });
  after(() => api.end());

  /** Requests with a token; empty for none. */
  function as(token: string): (method: string, path: string, body?: unknown) => Promise<Answer> {
    return async (method, path, body) => {
      const headers = { authorization: `Bearer ${token}` };
      const given = body === undefined ? {} : { body };
      const response = await api.call(method, `/api/v1${path}`, { headers, ...given });
      return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) };
    };
  }

  const login = (email: string, given = password): Promise<Answer> =>
    as('')('POST', '/auth/login', { email, password: given });

  /** Somebody with an account, who has just logged in. Each test has its own e-mails, so that no throttle is shared. */
  async function person(prefix: string, role: 'user' | 'admin' = 'user'): Promise<Person> {
    const name = `${prefix}-${uuidv7().slice(-12)}`;
    const email = `${name}@example.com`;
    const passwordHash = await api.access.passwords.hash(password);
    const { id } = await api.access.users.insert({ username: name, email, passwordHash, role }, {});
    const { body } = await login(email);
    return { id, name, email, token: body.data.token };
  }

  const rowOf = (id: string): Promise<Body> => api.knex('users').where({ id }).first();
  const typesOf = (id: string): Promise<string[]> =>
    api.knex('audit_events').where({ user_id: id }).orderBy('id').pluck('type');
  const fieldsOf = ({ body }: Answer): string[] => body.error.fields.map(({ field }: Body) => field);

  it('read themselves, without hash and generation', async () => {
    const [me, own] = [
      await as(joe.token)('GET', '/users/me'),
      await as(joe.token)('GET', `/users/${joe.id.toUpperCase()}`),
    ];
    expect(me.status).to.equal(200);
    expect(me.body.data).to.deep.equal({
      id: joe.id,
      username: joe.name,
      email: joe.email,
      role: 'user',
      created_at: me.body.data.created_at,
    });
    expect(Date.parse(me.body.data.created_at)).to.be.closeTo(Date.now(), 60_000);
    expect(own.body).to.deep.equal(me.body);
  });

  it('cannot tell the account of another from one that is not there, whatever they try', async () => {
    const before = await rowOf(ann.id);
    const responses: Body[] = [];
    for (const id of [ann.id, uuidv7(), 'not-a-uuid', "' or 1=1 --", '__proto__']) {
      const path = `/users/${encodeURIComponent(id)}`;
      for (const [method, body] of [
        ['GET', undefined],
        ['PUT', { email: 'mine@example.com' }],
        ['PUT', { role: 'admin' }],
        ['DELETE', undefined],
      ] as const) {
        const { status, body: problem } = await as(joe.token)(method, path, body);
        responses.push({ status, error: problem.error });
      }
    }
    for (const each of responses) expect(each).to.deep.equal(responses[0]);
    expect(responses[0]).to.deep.include({ status: 404 });
    expect(await rowOf(ann.id)).to.deep.equal(before);
  });

  it('change their name', async () => {
    const username = `${joe.name}-2`;
    const { status, body } = await as(joe.token)('PUT', '/users/me', { username });
    expect(status).to.equal(200);
    expect(body.data).to.include({ id: joe.id, username, email: joe.email });
    expect((await as(joe.token)('GET', '/users/me')).status).to.equal(200);
  });

  it('change their e-mail with their password only', async () => {
    const email = `New-${joe.name}@Example.com`;
    const missing = await as(joe.token)('PUT', '/users/me', { email });
    expect([missing.status, fieldsOf(missing)]).to.deep.equal([422, ['current_password']]);
    const wrong = await as(joe.token)('PUT', '/users/me', { email, current_password: 'wrong horse 1' });
    expect([wrong.status, wrong.body.error.code]).to.deep.equal([403, 'password_wrong']);
    expect((await rowOf(joe.id)).email).to.equal(joe.email);
    const right = await as(joe.token)('PUT', '/users/me', { email, current_password: password });
    expect([right.status, right.body.data.email]).to.deep.equal([200, email.toLowerCase()]);
    expect((await login(email)).status).to.equal(200);
    expect((await login(joe.email)).status).to.equal(401);
  });

  it('change it with their password as admins too, and that of others with their rights alone', async () => {
    const admin = await person('admin', 'admin');
    const own = { email: `new-${admin.name}@example.com` };
    const missing = await as(admin.token)('PUT', '/users/me', own);
    expect([missing.status, fieldsOf(missing)]).to.deep.equal([422, ['current_password']]);
    expect((await rowOf(admin.id)).email).to.equal(admin.email);
    const email = `new-${joe.name}@example.com`;
    expect((await as(admin.token)('PUT', `/users/${joe.id}`, { email })).status).to.equal(200);
    expect((await rowOf(joe.id)).email).to.equal(email);
  });

  it('need no password for the e-mail that they have', async () => {
    const changes = { email: joe.email.toUpperCase(), username: `${joe.name}-2` };
    expect((await as(joe.token)('PUT', '/users/me', changes)).status).to.equal(200);
  });

  it('guess a password here no faster than at the login', async () => {
    const body = { email: 'other@example.com', current_password: 'wrong horse 1' };
    const responses: Answer[] = [];
    for (let guess = 0; guess < 12; guess++) responses.push(await as(joe.token)('PUT', '/users/me', body));
    const last = responses.at(-1)!;
    expect([last.status, last.body.error.code]).to.deep.equal([429, 'login_throttled']);
    expect(Number(last.headers.get('retry-after'))).to.be.at.least(1);
    expect((await login(joe.email)).status).to.equal(429);
    const right = await as(joe.token)('PUT', '/users/me', { ...body, current_password: password });
    expect([right.status, (await rowOf(joe.id)).email]).to.deep.equal([429, joe.email]);
  });

  const refused: [string, unknown, string][] = [
    ['a password hash', { password_hash: '$2b$04$x' }, 'password_hash'],
    ['a password', { username: 'new-name', password: 'another horse 1' }, 'password'],
    ['an id', { username: 'new-name', id: uuidv7() }, 'id'],
    ['a generation', { username: 'new-name', generation: 0 }, 'generation'],
    ['a time of deletion', { deleted_at: null }, 'deleted_at'],
    ['nothing', {}, 'body'],
    ['a password alone', { current_password: password }, 'body'],
    ['a constructor', '{"username":"new-name","constructor":{"prototype":{"role":"admin"}}}', 'constructor'],
    ['a name of another script', { username: 'jоe-in-cyrillic' }, 'username'],
    ['the Kelvin sign', { email: '\u212Aelvin@example.com', current_password: password }, 'email'],
    ['a line break', { email: 'joe@example.com\r\nX-Admin: 1', current_password: password }, 'email'],
    ['a role that is none', { role: 'root' }, 'role'],
    ['a list as name', { username: ['joe'] }, 'username'],
  ];
  for (const [what, body, field] of refused) {
    it(`are not changed by ${what}`, async () => {
      const before = await rowOf(joe.id);
      const answer = await as(joe.token)('PUT', '/users/me', body);
      expect(answer.status).to.equal(422);
      expect(fieldsOf(answer)).to.include(field);
      expect(await rowOf(joe.id)).to.deep.equal(before);
    });
  }

  for (const key of ['__proto__', '\\u005f_proto__']) {
    it(`are not changed by a body with ${key}`, async () => {
      const answer = await as(joe.token)(
        'PUT',
        '/users/me',
        `{"username":"x-y-z","${key}":{"role":"admin"}}`,
      );
      expect([answer.status, answer.body.error.code]).to.deep.equal([400, 'malformed_request']);
      expect((await rowOf(joe.id)).username).to.equal(joe.name);
    });
  }

  it('do not become admins by themselves', async () => {
    const { status } = await as(joe.token)('PUT', '/users/me', { role: 'admin' });
    expect([status, (await rowOf(joe.id)).role]).to.deep.equal([403, 'user']);
    for (const [method, path] of [
      ['GET', '/users'],
      ['POST', '/users'],
      ['GET', '/admin/audit'],
      ['GET', '/admin/config'],
    ] as const) {
      expect((await as(joe.token)(method, path, method === 'POST' ? {} : undefined)).status).to.equal(403);
    }
  });

  it('do not take the name or e-mail of another', async () => {
    const name = await as(joe.token)('PUT', '/users/me', { username: ann.name.toUpperCase() });
    const taken = { email: ann.email.toUpperCase(), current_password: password };
    const email = await as(joe.token)('PUT', '/users/me', taken);
    expect([name.status, email.status]).to.deep.equal([409, 409]);
    expect(name.body.error).to.deep.equal(email.body.error);
  });

  it('delete themselves, and are locked out at once', async () => {
    const { status, body } = await as(joe.token)('DELETE', '/users/me', { current_password: password });
    expect(status).to.equal(200);
    expect(body.data).to.deep.equal({ id: joe.id, deleted_at: (await rowOf(joe.id)).deleted_at.toJSON() });
    expect((await as(joe.token)('GET', '/users/me')).status).to.equal(401);
    expect((await login(joe.email)).status).to.equal(401);
    expect((await as(root.token)('GET', `/users/${joe.id}`)).status).to.equal(404);
    const again = { username: joe.name, email: joe.email, password };
    expect((await as('')('POST', '/auth/register', again)).status).to.equal(409);
    expect(await typesOf(joe.id)).to.include('account.deleted');
  });

  it('are listed to admins by pages, the newest first', async () => {
    const { body } = await as(root.token)('GET', '/users?page=2&limit=2');
    expect(body.data).to.deep.equal({
      data: [(await as(joe.token)('GET', '/users/me')).body.data],
      total: 3,
      page: 2,
      limit: 2,
      total_pages: 2,
    });
    for (const query of ['page=0', 'limit=101', 'page=99999999999999999999', 'page=1e9', 'order=email'])
      expect((await as(root.token)('GET', `/users?${query}`)).status).to.equal(422);
  });

  it('are made, changed and deleted by admins, who need no password of theirs', async () => {
    const made = await as(root.token)('POST', '/users', {
      username: `by-${root.name}`,
      email: `By-${root.email}`,
      password,
    });
    expect(made.status).to.equal(201);
    expect(made.body.data).to.include({ email: `by-${root.email}`, role: 'user' });
    const { id, email } = made.body.data;
    expect((await login(email)).status).to.equal(200);
    const changed = await as(root.token)('PUT', `/users/${id}`, { email: `second-${root.email}` });
    expect([changed.status, changed.body.data.email]).to.deep.equal([200, `second-${root.email}`]);
    expect((await as(root.token)('DELETE', `/users/${id}`)).status).to.equal(200);
    const events = await api.knex('audit_events').where({ user_id: id, actor_id: root.id }).orderBy('id');
    expect(events.map(({ type }: Body) => type)).to.deep.equal([
      'account.registered',
      'account.updated',
      'account.deleted',
    ]);
    for (const { address, request_id } of events) {
      expect(address).to.equal('127.0.0.1');
      expect(request_id).to.be.a('string');
    }
  });

  it('have the role that they were given only after they log in again', async () => {
    const promoted = await as(root.token)('PUT', `/users/${joe.id}`, { role: 'admin' });
    expect([promoted.status, promoted.body.data.role]).to.deep.equal([200, 'admin']);
    expect((await as(joe.token)('GET', '/users/me')).status).to.equal(401);
    const admin = (await login(joe.email)).body.data.token;
    expect((await as(admin)('GET', '/users')).status).to.equal(200);
    expect((await as(root.token)('PUT', `/users/${joe.id}`, { role: 'user' })).status).to.equal(200);
    expect((await as(admin)('GET', '/users')).status).to.equal(401);
  });

  it('keep their last admin', async () => {
    const demotion = await as(root.token)('PUT', '/users/me', { role: 'user' });
    const removal = await as(root.token)('DELETE', '/users/me', { current_password: password });
    for (const { status, body } of [demotion, removal])
      expect([status, body.error.code]).to.deep.equal([409, 'last_admin']);
    expect((await as(root.token)('GET', '/users')).status).to.equal(200);
  });

  it('are in the audit log, by kind and by user', async () => {
    await as(joe.token)('PUT', '/users/me', { username: `${joe.name}-2` });
    const path = `/admin/audit?limit=1&type=account.updated&user=${joe.id.toUpperCase()}`;
    const { status, body } = await as(root.token)('GET', path);
    expect(status).to.equal(200);
    const [event] = body.data.data;
    expect({ ...body.data, data: [] }).to.deep.equal({
      data: [],
      total: 1,
      page: 1,
      limit: 1,
      total_pages: 1,
    });
    expect(event).to.deep.equal({
      id: event.id,
      at: event.at,
      type: 'account.updated',
      user_id: joe.id,
      actor_id: joe.id,
      key_id: null,
      address: '127.0.0.1',
      request_id: event.request_id,
      detail: { fields: ['username'] },
    });
    for (const query of ['type=unknown', 'user=me', 'page=0'])
      expect((await as(root.token)('GET', `/admin/audit?${query}`)).status).to.equal(422);
  });

  it('see no secret among the settings, admins though they be', async () => {
    const { status, body } = await as(root.token)('GET', '/admin/config');
    expect(status).to.equal(200);
    const shown = new Map<string, Body>(body.data.map((each: Body) => [each.name, each]));
    expect([...shown.keys()]).to.deep.equal(Object.keys(settings));
    expect(shown.get('JWT_SECRET')).to.include({ value: '[redacted]', default: null, sensitive: true });
    expect(shown.get('SMTP_URL').value).to.equal('[redacted]');
    expect(shown.get('METRICS_TOKEN').value).to.equal(null);
    expect(shown.get('BCRYPT_COST')).to.include({ value: 4, default: '11', sensitive: false });
    expect(shown.get('COINGECKO_BASE_URL').value).to.equal('http://[redacted]@upstream.example/api/v3');
    const text = JSON.stringify(body);
    for (const secret of [testSecret, 'very-secret', 'in-the-url']) expect(text).not.to.include(secret);
  });
});
