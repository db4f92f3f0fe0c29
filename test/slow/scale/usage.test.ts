import { expect } from 'chai';
import knexFactory from 'knex';
import { apiClient, newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

interface Row {
  readonly key_id: string | null;
  readonly requests: number;
  readonly jobs: number;
  readonly upstream_calls: number;
}

const jobsPerUser = 3;
/** Counts are added every 5 s, by the API process and by the worker. */
const timeoutMs = 15_000;
const coin = (index: number): string => `sim-${String(index).padStart(5, '0')}`;

describe('usage', () => {
  let stack: Stack;
  let url: string;

  before(async function () {
    this.timeout(120_000);
    const environment = { JOB_BACKLOG_PER_USER: String(jobsPerUser) };
    stack = await startStack({ market: { latencyMs: 20, madeUpAssets: 2_000 }, environment });
    url = stack.apis[0]!.url;
  });
  after(() => stack.stop());

  async function keyOf(user: ApiClient): Promise<{ id: string; prefix: string; client: ApiClient }> {
    const body = { name: 'bot', scopes: ['jobs:write', 'prices:read'] };
    const made = await user.call('POST', '/api-keys', { body });
    expect(made.status, JSON.stringify(made.body)).to.equal(201);
    const { id, prefix, key } = made.body?.data;
    return { id, prefix, client: apiClient(url, key) };
  }

  async function rowOf(user: ApiClient, keyId: string | null): Promise<Row | undefined> {
    const { status, body } = await user.call('GET', '/usage');
    expect(status).to.equal(200);
    const rows = (body?.data.days as Row[]).filter(({ key_id }) => key_id === keyId);
    return rows[0];
  }

  it('shows what a key did: its requests, its job and the call that this caused', async function () {
    this.timeout(120_000);
    const [user, other] = [await newUser(url), await newUser(url)];
    const { id, prefix, client } = await keyOf(user);
    const body = { coins: [coin(1), coin(2)] };
    const submitted = await client.call('POST', '/crypto/bulk', { body, headers: { prefer: 'wait=10' } });
    expect(submitted.status).to.equal(200);
    expect((await other.call('GET', `/crypto/${coin(1)}`)).status).to.equal(200);

    const row = await waitFor(
      async () => {
        const found = await rowOf(user, id);
        return found !== undefined && found.upstream_calls > 0 && found.jobs > 0 ? found : undefined;
      },
      { what: 'the usage of the key', timeoutMs },
    );
    expect(row).to.include({ requests: 1, jobs: 1, upstream_calls: 1 });
    // Read from the cache: a request, and nothing else.
    const cached = await waitFor(() => rowOf(other, null), { what: 'the usage of the other', timeoutMs });
    expect(cached).to.include({ jobs: 0, upstream_calls: 0 });

    const admin = await adminOf(stack.databaseUrl, url);
    const { body: page } = await admin.call('GET', '/admin/usage?limit=1');
    expect(page?.data.data).to.have.length(1);
    expect(page?.data.data[0]).to.include({ key_id: id, key_prefix: prefix, jobs: 1, upstream_calls: 1 });
    expect(page?.data.total).to.be.at.least(3);
  });

  it('charges a read of a coin that nobody had asked for', async function () {
    this.timeout(120_000);
    const user = await newUser(url);
    expect((await user.call('GET', `/crypto/${coin(100)}`)).status).to.equal(200);
    const row = await waitFor(
      async () => {
        const found = await rowOf(user, null);
        return found !== undefined && found.upstream_calls > 0 ? found : undefined;
      },
      { what: 'the usage of the reader', timeoutMs },
    );
    expect(row).to.include({ jobs: 0, upstream_calls: 1 });
  });

  it("is one's own: keys do not see it, and only admins see everybody's", async () => {
    const user = await newUser(url);
    const { client } = await keyOf(user);
    expect((await client.call('GET', '/usage')).status).to.equal(403);
    expect((await user.call('GET', '/admin/usage')).status).to.equal(403);
    expect((await apiClient(url).call('GET', '/usage')).status).to.equal(401);
  });

  it('refuses days that are none, and too many of them', async () => {
    const user = await newUser(url);
    const statusOf = async (query: string): Promise<number> =>
      (await user.call('GET', `/usage?${query}`)).status;
    expect(await statusOf('from=2024-01-01&to=2024-12-31')).to.equal(200);
    expect(await statusOf('to=2024-02-29')).to.equal(200);
    for (const query of [
      'from=2024-01-01&to=2025-01-01',
      'from=2024-02-02&to=2024-02-01',
      'from=2023-02-29',
      'to=0000-01-01',
      'from=yesterday',
      'days=3',
    ]) {
      expect(await statusOf(query), query).to.equal(422);
    }
  });

  it('is bounded in unfinished jobs for each user', async function () {
    this.timeout(120_000);
    const [user, other] = [await newUser(url), await newUser(url)];
    const submit = (who: ApiClient, index: number) =>
      who.call('POST', '/crypto/bulk', { body: { coins: [coin(index)] } });
    stack.market.setLatency(5_000);
    const accepted = await Promise.all([200, 201, 202].map((index) => submit(user, index)));
    expect(accepted.map(({ status }) => status)).to.deep.equal([202, 202, 202]);
    const refused = await submit(user, 203);
    expect([refused.status, refused.body?.error?.code]).to.deep.equal([429, 'too_many_open_jobs']);
    expect(refused.headers.get('retry-after')).to.equal('10');
    expect((await submit(other, 204)).status).to.equal(202);
    stack.market.setLatency(20);
    for (const { body } of accepted) await user.jobEnd(body?.data.id as string);
    await waitFor(async () => (await submit(user, 205)).status === 202, { what: 'room for another job' });
  });
});

async function adminOf(databaseUrl: string, url: string): Promise<ApiClient> {
  const account = { username: 'usage-admin', email: 'usage-admin@example.com', password: 'correct horse 1' };
  await apiClient(url).call('POST', '/auth/register', { body: account });
  const knex = knexFactory({ client: 'pg', connection: databaseUrl, pool: { min: 0, max: 1 } });
  try {
    await knex('users').where({ email: account.email }).update({ role: 'admin' });
  } finally {
    await knex.destroy();
  }
  const { email, password } = account;
  const { body } = await apiClient(url).call('POST', '/auth/login', { body: { email, password } });
  return apiClient(url, body?.data.token as string);
}
