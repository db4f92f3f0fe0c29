import { expect } from 'chai';
import { apiClient, newUser, type ApiClient } from '../support/api-client.ts';
import { runCommand } from '../support/run-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

const account = { email: 'root@example.com', password: 'correct horse 1' };

/** Runs the command; its exit code and all that it says. */
const adminCommand = (databaseUrl: string, ...args: string[]): ReturnType<typeof runCommand> =>
  runCommand({
    script: 'src/commands/create-admin.ts',
    args,
    environment: { ...process.env, APP_ENV: 'test', DATABASE_URL: databaseUrl, BCRYPT_COST: '4' },
    input: `${account.password}\n`,
  });

const createAdmin = (databaseUrl: string): ReturnType<typeof adminCommand> =>
  adminCommand(databaseUrl, '--email', account.email, '--username', 'root-admin');

describe('an admin', () => {
  let stack: Stack;
  let user: ApiClient;
  let admin: ApiClient;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({ apis: 2, workers: 1 });
    expect(await createAdmin(stack.databaseUrl)).to.deep.include({ code: 0 });
    const [api] = stack.apis;
    user = await newUser(api!.url);
    const login = await apiClient(api!.url).call('POST', '/auth/login', { body: account });
    admin = apiClient(api!.url, login.body?.data.token as string);
  });
  after(() => stack.stop());

  it('is made once, and the command says how an account becomes one', async () => {
    const { code, said } = await createAdmin(stack.databaseUrl);
    expect(code).to.equal(1);
    expect(said).to.match(/^No admin was created: root@example\.com has an account already.*--promote\n$/);
  });

  it('is made of a user, who must log in again', async () => {
    const { url } = stack.apis[0]!;
    const person = await newUser(url);
    const { email } = (await person.call('GET', '/users/me')).body?.data;
    const promote = (whom: string): ReturnType<typeof adminCommand> =>
      adminCommand(stack.databaseUrl, '--email', whom, '--promote');

    const [promoted, again, nobody] = [
      await promote(email),
      await promote(email.toUpperCase()),
      await promote('nobody@example.com'),
    ];
    expect(promoted.said).to.match(/ is an admin now, and must log in again\n$/);
    expect(again.said).to.match(/ is an admin already\n$/);
    expect(nobody.said).to.equal('No admin was created: nobody@example.com has no account\n');
    expect([promoted.code, again.code, nobody.code]).to.deep.equal([0, 0, 1]);

    const status = async (): Promise<number> => (await person.call('GET', '/users/me')).status;
    await waitFor(async () => (await status()) === 401, { what: 'the end of the old session' });
    const body = { email, password: account.password };
    const login = await apiClient(url).call('POST', '/auth/login', { body });
    const promotee = apiClient(url, login.body?.data.token as string);
    const audit = await promotee.call('GET', '/admin/audit?type=account.role_changed');
    expect(audit.body?.data.data).to.have.length(1);
    expect(audit.body?.data.data[0]).to.deep.include({
      actor_id: null,
      detail: { from: 'user', to: 'admin', via: 'command' },
    });
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
