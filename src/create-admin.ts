/**
 * Makes an admin: `tsx src/create-admin.ts --email <address> --username <name>`, with the password on standard input, so that it
 * stands in no shell history and no list of processes. Without a configured Postgres it takes that of the running `npm start`.
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { checkConnection, openDatabase } from '../db/connection.ts';
import { createUserQueries } from '../db/queries/users.ts';
import { createPasswords } from './auth/passwords.ts';
import { usableDatabase } from './config/embedded-urls.ts';
import { loadEnvironmentFile } from './config/env-file.ts';
import { loadConfig } from './config/load-config.ts';
import { registerBody } from './http/schemas/accounts.ts';
import { messageOf } from './lib/errors.ts';

async function main(): Promise<void> {
  loadEnvironmentFile();
  const { values } = parseArgs({ options: { email: { type: 'string' }, username: { type: 'string' } } });
  if (process.stdin.isTTY) process.stderr.write('Password (end with Enter and Ctrl-D): ');
  const password = (await text(process.stdin)).replace(/\r?\n$/, '');
  const given = registerBody.safeParse({ ...values, password });
  if (!given.success) {
    const problems = given.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
    throw new Error(problems.join('; '));
  }
  await create(given.data);
}

async function create({
  email,
  username,
  password,
}: {
  email: string;
  username: string;
  password: string;
}): Promise<void> {
  const config = loadConfig();
  const { database, hint } = usableDatabase(config);
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    await checkConnection(knex, { database, hint });
    const passwordHash = await createPasswords({ cost: config.BCRYPT_COST }).hash(password);
    const { id } = await createUserQueries(knex).insert({ email, username, passwordHash, role: 'admin' });
    process.stdout.write(`Created admin ${username} (${id})\n`);
  } finally {
    await knex.destroy();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error: unknown) => {
    process.stderr.write(`Cannot create the admin: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
