/** Webhooks as their owner and others meet them, over a real database. */
import { expect } from 'chai';
import { createWebhookService } from '../../src/features/webhooks/webhook-service.ts';
import type { Queues } from '../../src/platform/queue/queues.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
type Body = any;

const base = '/api/v1/webhooks';
const password = 'correct horse 1';

describe('the routes of webhooks', () => {
  let api: AccessApi;
  let token: string;
  let userId: string;
  let users = 0;
  const queued: string[] = [];

  before(async () => {
    api = await startAccessApi({ environment: { REGISTRATIONS_PER_HOUR: '1000' } });
    const service = createWebhookService({
      config: {
        ...api.deps.config,
        WEBHOOK_ALLOWED_NETWORKS: [],
        WEBHOOK_HTTP: 'off',
        WEBHOOK_SECRET: 'a secret of the tests, of some length',
      },
      knex: api.knex,
      queues: {
        add: (_name: string, { deliveryId }: { deliveryId: string }) => {
          queued.push(deliveryId);
          return Promise.resolve();
        },
      } as unknown as Queues,
      log: api.deps.log,
    });
    // The routes hold the port of the stand-in: it is that which gets to do the work.
    Object.assign(api.deps.webhooks, service);
  });
  after(() => api.end());

  beforeEach(async () => {
    ({ token, userId } = await newUser());
    queued.length = 0;
  });

  async function newUser(): Promise<{ token: string; userId: string }> {
    users += 1;
    const account = { username: `joe-${users}`, email: `joe-${users}@example.com`, password };
    const registered = await call('POST', '/api/v1/auth/register', { body: account, bearer: '' });
    const login = await call('POST', '/api/v1/auth/login', { body: account, bearer: '' });
    return { token: login.data.token as string, userId: registered.data.id as string };
  }

  async function call(
    method: string,
    path: string,
    { body, bearer = token }: { readonly body?: Body; readonly bearer?: string } = {},
  ): Promise<{ status: number; headers: Headers; data: Body; error: Body }> {
    const isLogin = path.endsWith('/login');
    const sent = isLogin ? { email: body.email, password: body.password } : body;
    const response = await api.call(method, path, {
      ...(sent === undefined ? {} : { body: sent }),
      headers: { authorization: bearer === '' ? '' : `Bearer ${bearer}` },
    });
    const answer = JSON.parse(await response.text());
    return { status: response.status, headers: response.headers, data: answer.data, error: answer.error };
  }

  const url = 'https://hooks.example.com/in';
  const test = async (): Promise<Body> => (await call('POST', `${base}/test`, { body: { url } })).data;
  const setState = (id: string, columns: object): Promise<number> =>
    api.knex('webhook_deliveries').where({ id }).update(columns);

  it('show a secret of one’s own, and another one after a rotation, that the audit log tells of', async () => {
    const first = await call('GET', `${base}/secret`);
    expect(first.headers.get('cache-control')).to.equal('no-store');
    expect(first.data).to.include({ generation: 0, rotated_at: null, previous_signs_until: null });
    expect(first.data.secret).to.match(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect((await call('GET', `${base}/secret`)).data).to.deep.equal(first.data);
    const other = await newUser();
    expect((await call('GET', `${base}/secret`, { bearer: other.token })).data.secret).to.not.equal(
      first.data.secret,
    );

    const rotated = await call('POST', `${base}/secret/rotate`);
    expect(rotated.status).to.equal(200);
    expect(rotated.headers.get('cache-control')).to.equal('no-store');
    expect(rotated.data.generation).to.equal(1);
    expect(rotated.data.secret).to.not.equal(first.data.secret);
    const overlap = Date.parse(rotated.data.previous_signs_until) - Date.parse(rotated.data.rotated_at);
    expect(overlap).to.equal(24 * 3_600_000);
    expect((await call('GET', `${base}/secret`)).data).to.deep.equal(rotated.data);
    const events = await api.knex('audit_events').where({ user_id: userId, type: 'webhook_secret.rotated' });
    expect(events).to.have.length(1);
    expect(JSON.stringify(events)).to.not.include(rotated.data.secret);
  });

  it('keep the secret from API keys', async () => {
    const scopes = ['webhooks:read', 'webhooks:write', 'jobs:write', 'prices:read'];
    const { data } = await call('POST', '/api/v1/api-keys', { body: { name: 'k', scopes } });
    expect((await call('GET', `${base}/secret`, { bearer: data.key })).status).to.equal(403);
    expect((await call('POST', `${base}/secret/rotate`, { bearer: data.key })).status).to.equal(403);
    expect((await call('GET', `${base}/deliveries`, { bearer: data.key })).status).to.equal(200);
  });

  it('send a test, and show what became of it', async () => {
    const sent = await call('POST', `${base}/test`, { body: { url } });
    expect(sent.status).to.equal(202);
    expect(sent.headers.get('location')).to.equal(`${base}/deliveries/${sent.data.id}`);
    expect(sent.data).to.include({ type: 'webhook.test', url, state: 'pending', attempts: 0 });
    expect(queued).to.deep.equal([sent.data.id]);
    const read = await call('GET', sent.data.links.self);
    expect(read.data).to.deep.equal(sent.data);
    expect(read.data.body).to.deep.include({ type: 'webhook.test', data: { message: 'This is a test' } });
  });

  for (const bad of ['http://hooks.example.com/', 'https://10.0.0.1/', 'https://localhost/', 'x', '']) {
    it(`refuse a test to ${bad || 'nothing'}, naming the field`, async () => {
      const refused = await call('POST', `${base}/test`, { body: { url: bad } });
      expect(refused.status).to.equal(422);
      expect(refused.error.fields[0].field).to.equal('url');
    });
  }

  it('list deliveries by state, the newest first, page by page', async () => {
    const ids = [];
    for (let n = 0; n < 3; n++) ids.unshift((await test()).id);
    await setState(ids[1], {
      state: 'dead',
      attempts: 8,
      last_error: 'The connection was refused',
      ended_at: new Date(),
    });
    const all = await call('GET', `${base}/deliveries?limit=2`);
    expect(all.data).to.include({ total: 3, page: 1, limit: 2, total_pages: 2 });
    expect(all.data.data.map(({ id }: Body) => id)).to.deep.equal(ids.slice(0, 2));
    expect(all.data.data[0]).to.not.have.property('body');
    const second = await call('GET', `${base}/deliveries?limit=2&page=2`);
    expect(second.data.data.map(({ id }: Body) => id)).to.deep.equal(ids.slice(2));
    const dead = await call('GET', `${base}/deliveries?state=dead`);
    expect(dead.data.data).to.have.length(1);
    expect(dead.data.data[0]).to.include({
      id: ids[1],
      state: 'dead',
      attempts: 8,
      last_error: 'The connection was refused',
      next_attempt_at: null,
      delivered_at: null,
    });
    expect(dead.data.data[0].given_up_at).to.be.a('string');
    expect((await call('GET', `${base}/deliveries?state=lost`)).status).to.equal(422);
  });

  it('begin a dead letter anew, and nothing else', async () => {
    const { id } = await test();
    const path = `${base}/deliveries/${id}/retry`;
    expect((await call('POST', path)).status, 'on its way').to.equal(409);
    await setState(id, { state: 'dead', attempts: 8, last_error: 'x', ended_at: new Date() });
    queued.length = 0;
    const again = await call('POST', path);
    expect(again.status).to.equal(202);
    expect(again.data).to.include({ state: 'pending', attempts: 0, given_up_at: null });
    expect(queued).to.deep.equal([id]);
    await setState(id, { state: 'delivered', last_error: null, ended_at: new Date() });
    const refused = await call('POST', path);
    expect([refused.status, refused.error.code]).to.deep.equal([409, 'delivery_not_retriable']);
  });

  for (const [what, most, path, body] of [
    ['tests', 60, '/test', { url }],
    ['rotations of the secret', 20, '/secret/rotate', undefined],
    ['retries', 600, '/deliveries/01934c2a-0000-7000-8000-0000000000aa/retry', undefined],
  ] as const)
    it(`have a bound on ${what} of a user, and on nobody else's`, async () => {
      const statuses = async (count: number, bearer?: string): Promise<number[]> => {
        const answers = Array.from({ length: count }, () =>
          call('POST', base + path, { body, ...(bearer === undefined ? {} : { bearer }) }),
        );
        return (await Promise.all(answers)).map(({ status }) => status);
      };
      expect(await statuses(most)).to.not.include(429);
      expect(await statuses(1)).to.deep.equal([429]);
      const other = await newUser();
      expect(await statuses(1, other.token)).to.not.include(429);
    });

  it('do not know the deliveries of others, admins included', async () => {
    const { id } = await test();
    await setState(id, { state: 'dead', last_error: 'x', ended_at: new Date() });
    const thief = await newUser();
    await api.knex('users').where({ id: thief.userId }).update({ role: 'admin' });
    for (const each of [id, id.toUpperCase(), 'x', '01934c2a-0000-7000-8000-0000000000aa']) {
      for (const [method, suffix] of [
        ['GET', ''],
        ['POST', '/retry'],
      ] as const) {
        const answer = await call(method, `${base}/deliveries/${each}${suffix}`, { bearer: thief.token });
        expect([answer.status, answer.error.code]).to.deep.equal([404, 'delivery_not_found']);
      }
    }
    expect((await call('GET', `${base}/deliveries`, { bearer: thief.token })).data.total).to.equal(0);
    const [row] = await api.knex('webhook_deliveries').where({ id });
    expect(row).to.include({ state: 'dead' });
  });

  it('take a callback with a job, and refuse one that must not be called', async () => {
    const submit = (callback: string) =>
      call('POST', '/api/v1/crypto/bulk', { body: { coins: ['bitcoin'], callback_url: callback } });
    expect((await submit('https://Hooks.example.com/job?x=1')).status).to.equal(202);
    expect(api.clientJobs.submitted.at(-1)).to.include({ callbackUrl: 'https://hooks.example.com/job?x=1' });
    expect(JSON.stringify(api.clientJobs.submitted.at(-1)?.submission)).to.not.include('hooks.example.com');
    const before = api.clientJobs.submitted.length;
    for (const bad of ['https://192.168.0.1/', 'ftp://example.com/', 'https://u:p@example.com/', '']) {
      const refused = await submit(bad);
      expect(refused.status, bad).to.equal(422);
      expect(refused.error.fields[0].field).to.equal('callback_url');
    }
    expect(api.clientJobs.submitted).to.have.length(before);
  });

  it('make a callback part of what an idempotency key stands for', async () => {
    const hashes = [];
    for (const callback of ['https://a.example.com/', 'https://b.example.com/', undefined]) {
      await api.call('POST', '/api/v1/crypto/bulk', {
        body: { coins: ['bitcoin'], ...(callback === undefined ? {} : { callback_url: callback }) },
        headers: { authorization: `Bearer ${token}`, 'idempotency-key': 'k' },
      });
      hashes.push(api.clientJobs.submitted.at(-1)?.idempotency?.bodyHash);
    }
    expect(new Set(hashes)).to.have.property('size', 3);
  });
});
