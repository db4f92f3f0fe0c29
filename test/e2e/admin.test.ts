import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { projectRoot } from '../../embedded/project-root.ts';
import { apiClient, newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

const account = { email: 'root@example.com', password: 'correct horse 1' };

async function createAdmin(databaseUrl: string): Promise<number | null> {
  const script = join(projectRoot, 'src/create-admin.ts');
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', script, '--email', account.email, '--username', 'root-admin'],
    {
      cwd: projectRoot,
      env: { ...process.env, APP_ENV: 'test', DATABASE_URL: databaseUrl, BCRYPT_COST: '4' },
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  child.stdin.end(`${account.password}\n`);
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

describe('an admin', () => {
  let stack: Stack;
  let user: ApiClient;
  let admin: ApiClient;

  before(async function () {
    this.timeout(60_000);
    stack = await startStack({ apis: 2, workers: 1 });
    expect(await createAdmin(stack.databaseUrl)).to.equal(0);
    const [api] = stack.apis;
    user = await newUser(api!.url);
    const login = await apiClient(api!.url).call('POST', '/auth/login', { body: account });
    admin = apiClient(api!.url, login.body?.data.token as string);
  });
  after(() => stack.stop());

  it('is made once', async () => {
    expect(await createAdmin(stack.databaseUrl)).to.equal(1);
  });

  it('clears the cache of every process, and nobody else does', async () => {
    const elsewhere = apiClient(stack.apis[1]!.url, user.token);
    await user.call('GET', '/crypto/bitcoin');
    await elsewhere.call('GET', '/crypto/bitcoin');
    stack.market.resetCalls();
    expect((await user.call('DELETE', '/crypto/cache')).status).to.equal(403);
    expect((await elsewhere.call('GET', '/crypto/bitcoin')).status).to.equal(200);
    expect(stack.market.calls()).to.have.length(0);

    expect((await admin.call('DELETE', '/crypto/cache?coins=bitcoin')).status).to.equal(200);
    const entries = async (): Promise<number> =>
      (await elsewhere.call('GET', '/crypto/cache/stats')).body?.data.entries as number;
    await waitFor(async () => (await entries()) === 0, { what: 'the other process to forget bitcoin' });
    expect((await elsewhere.call('GET', '/crypto/bitcoin')).status).to.equal(200);
    expect(stack.market.calls()).to.have.length(1);
  });

  it("sees other people's jobs", async () => {
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    const path = `/jobs/${body?.data.id as string}`;
    expect((await admin.call('GET', path)).status).to.equal(200);
  });
});
