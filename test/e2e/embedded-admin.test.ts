import { existsSync, statSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { apiClient, newUser } from '../support/api-client.ts';
import { processesWith, startEmbeddedRun, type EmbeddedRun } from '../support/embedded-run.ts';
import { runCommand } from '../support/run-command.ts';
import { waitFor } from '../support/wait-for.ts';

const account = { email: 'root@example.com', password: 'correct horse 1' };

describe('commands beside npm start', function () {
  this.timeout(120_000);
  let dataDir: string;
  let run: EmbeddedRun;

  /** Runs one of our programs without a configured database. */
  const command = (script: string, ...args: string[]): ReturnType<typeof runCommand> =>
    runCommand({
      script,
      args,
      environment: { PATH: process.env.PATH, APP_ENV: 'test', BCRYPT_COST: '4', PRICEPOOL_DATA_DIR: dataDir },
      input: `${account.password}\n`,
    });
  const createAdmin = (): ReturnType<typeof command> =>
    command('src/commands/create-admin.ts', '--email', account.email, '--username', 'root-admin');

  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'pricepool-beside-'));
    // Open to the user that Postgres runs as; otherwise its files would move elsewhere.
    await chmod(dataDir, 0o755);
    const env = { APP_ENV: 'test', BCRYPT_COST: '4' };
    run = await startEmbeddedRun({ dataDir, script: 'embedded/up.ts', env });
    await run.ready();
  });

  after(async () => {
    await run.end('SIGKILL');
    await waitFor(() => processesWith(dataDir).length === 0, { what: 'the end of every process of the run' });
    await rm(dataDir, { recursive: true, force: true });
  });

  it('make an admin, who may clear the cache, in the embedded Postgres', async () => {
    expect(run.output()).to.include(`npm run demo -- --url http://127.0.0.1:${run.port}\n`);
    expect(await createAdmin()).to.deep.include({ code: 0 });
    const api = `http://127.0.0.1:${run.port}`;
    const { body } = await apiClient(api).call('POST', '/auth/login', { body: account });
    const admin = apiClient(api, body?.data.token as string);
    expect((await admin.call('DELETE', '/crypto/cache')).status).to.equal(200);
    expect((await (await newUser(api)).call('DELETE', '/crypto/cache')).status).to.equal(403);
    expect(await command('db/migrate.ts')).to.deep.equal({ code: 0, said: 'The schema is up to date\n' });
  });

  it('are not misled by what a killed run left, and know when nothing runs', async () => {
    const file = join(dataDir, 'urls.json');
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    await run.end('SIGKILL');
    await waitFor(() => processesWith(dataDir).length === 0, { what: 'the end of every process of the run' });
    expect(existsSync(file)).to.equal(true);
    for (const { code, said } of [await createAdmin(), await command('db/migrate.ts')]) {
      expect(code).to.equal(1);
      expect(said).to.match(/^(Cannot|No admin) .*127\.0\.0\.1.*ECONNREFUSED.*npm start.*\n$/);
    }

    run = await startEmbeddedRun({ dataDir });
    await run.ready();
    expect(existsSync(file)).to.equal(true);
    expect(await run.end('SIGTERM')).to.deep.equal({ code: 0, signal: null });
    expect(existsSync(file)).to.equal(false);
    expect((await createAdmin()).said).to.match(
      /^No admin was created: there is no database.*npm start.*\n$/,
    );
  });
});
