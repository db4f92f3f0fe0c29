import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../db/connection.ts';
import { createUserQueries } from '../../src/features/accounts/queries/users.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { hashOfSecret, isSecret } from '../../src/features/accounts/secrets.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const run = promisify(execFile);

describe('the command that makes a reset token', () => {
  let database: TestDatabase;
  let knex: Knex;
  const userId = uuidv7();

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 2 });
    await knex('users').insert({
      id: userId,
      username: 'ada',
      email: 'ada@example.com',
      password_hash: 'old',
    });
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  /** What it prints, or how it failed. */
  async function reset(...options: string[]): Promise<{ stdout: string; stderr: string; code?: number }> {
    const script = join(projectRoot, 'src/commands/reset-password.ts');
    const env = {
      ...process.env,
      APP_ENV: 'test',
      DATABASE_URL: database.url,
      PUBLIC_URL: 'https://p.example/',
    };
    return await run(process.execPath, ['--import', 'tsx', script, ...options], {
      cwd: projectRoot,
      env,
      timeout: 15_000,
    }).catch((error: unknown) => error as { stdout: string; stderr: string; code: number });
  }

  it('prints a token and the call that redeems it', async () => {
    const { stdout, code } = await reset('--email', ' ADA@example.com');
    expect(code).to.equal(undefined);
    expect(stdout).to.contain('https://p.example/api/v1/auth/password/reset');
    const token = stdout.split('\n').find((line) => isSecret('reset', line)) ?? '';
    expect(stdout).to.contain('within the next 30 minutes');
    const held = await knex('password_resets').where({ user_id: userId }).first<{ expires_at: Date }>();
    expect(held.expires_at.getTime()).to.be.within(Date.now() + 29 * 60_000, Date.now() + 30 * 60_000);
    const queries = createUserQueries(knex, { revocationSeconds: 900 });
    const redeemed = await queries.redeemReset({ hash: hashOfSecret(token), passwordHash: 'new', by: {} });
    expect(redeemed?.userId).to.equal(userId);
    const event = (await knex('audit_events').where({ type: 'password.reset_requested' }).first()) as object;
    expect(event).to.deep.include({ user_id: userId, actor_id: null, detail: { via: 'command' } });
  });

  it('names what is wrong, without a stack', async () => {
    for (const [options, problem] of [
      [['--email', 'eve@example.com'], 'eve@example.com has no account'],
      [['--email', 'no address'], 'email is not an e-mail address'],
      [[], 'email'],
    ] as const) {
      const { code, stderr, stdout } = await reset(...options);
      expect(code).to.equal(1);
      expect(stdout).to.equal('');
      expect(stderr)
        .to.match(/^Cannot make a reset token: .*\n$/)
        .and.contain(problem);
    }
  });
});
