/** The command that makes an admin: what it refuses, and that it then changes nothing. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../db/connection.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { runCommand } from '../support/run-command.ts';

describe('the command that makes an admin', () => {
  let database: TestDatabase;
  let knex: Knex;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 2 });
    const ada = { id: uuidv7(), username: 'ada', email: 'ada@example.com', password_hash: 'x' };
    await knex('users').insert(ada);
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  const command = (password: string, ...args: string[]) =>
    runCommand({
      script: 'src/commands/create-admin.ts',
      args,
      environment: { ...process.env, APP_ENV: 'test', DATABASE_URL: database.url, BCRYPT_COST: '4' },
      input: password,
    });
  const accounts = () => knex('users').orderBy('username').select<object[]>('username', 'role');

  it('names every wrong option, without a stack', async () => {
    const { code, said } = await command('short', '--email', 'nobody', '--username', '!');
    expect(code).to.equal(1);
    expect(said).to.match(/^No admin was created: .*\n$/);
    for (const name of ['email', 'username', 'password']) expect(said).to.contain(`${name} `);
    expect(await accounts()).to.deep.equal([{ username: 'ada', role: 'user' }]);
  });

  it('takes no name for somebody who has one, and no name that somebody has', async () => {
    const both = await command('', '--promote', '--email', 'ada@example.com', '--username', 'root');
    expect([both.code, both.said]).to.deep.equal([
      1,
      'No admin was created: --promote takes --email without --username: the account already has a username\n',
    ]);
    const taken = await command('correct horse 1\n', '--email', 'eve@example.com', '--username', 'ada');
    expect(taken.code).to.equal(1);
    expect(taken.said).to.contain('the username ada is taken');
    expect(await accounts()).to.deep.equal([{ username: 'ada', role: 'user' }]);
  });

  it('makes one, says which, and notes in the audit log that it was a command', async () => {
    const { code, said } = await command(
      'correct horse 1\n',
      '--email',
      'root@example.com',
      '--username',
      'root',
    );
    const account = await knex('users').where({ username: 'root' }).first<{ id: string; role: string }>();
    expect([code, said]).to.deep.equal([0, `Created admin root (${account.id})\n`]);
    expect(account.role).to.equal('admin');
    const events = await knex('audit_events')
      .where({ user_id: account.id })
      .select<{ detail: object }[]>('*');
    expect(events).to.have.length(1);
    expect(events[0]?.detail).to.include({ via: 'command' });
  });
});
