/**
 * Makes an admin: `npm run admin:create -- --email <address> --username <name>`, with the password on standard input, so that
 * it stands in no shell history and no list of processes; or `--email <address> --promote`, which makes an admin of somebody
 * who has an account. Without a configured Postgres it takes that of the running `npm start`.
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { z } from 'zod';
import { checkConnection, openDatabase } from '../../db/connection.ts';
import { createUserQueries, type UserQueries } from '../features/accounts/queries/users.ts';
import { createPasswords } from '../features/accounts/password-hashing.ts';
import { credentialLifeOf } from '../features/accounts/tokens.ts';
import { usableDatabase } from '../platform/config/embedded-urls.ts';
import { loadEnvironmentFile } from '../platform/config/env-file.ts';
import { loadConfig, type Config } from '../platform/config/load-config.ts';
import { registerBody } from '../features/accounts/schemas.ts';
import { ConflictError, messageOf } from '../domain/errors.ts';

type NewAdmin = z.output<typeof registerBody>;

/** In the audit log it stands that the operator did it. */
const by = { via: 'command' } as const;

async function main(): Promise<void> {
  loadEnvironmentFile();
  const { values } = parseArgs({
    options: { email: { type: 'string' }, username: { type: 'string' }, promote: { type: 'boolean' } },
  });
  const { promote: promotes = false, ...named } = values;
  if (promotes && named.username === undefined) {
    const { email } = checked(registerBody.pick({ email: true }), named);
    await withUsers((users) => promote(users, email));
    return;
  }
  if (promotes)
    throw new Error('--promote takes --email without --username: the account already has a username');
  if (process.stdin.isTTY) process.stderr.write('Password (end with Enter and Ctrl-D): ');
  const password = (await text(process.stdin)).replace(/\r?\n$/, '');
  const account = checked(registerBody, { ...named, password });
  await withUsers((users, config) => create(users, account, config.BCRYPT_COST));
}

/** @throws {Error} that names every wrong option. */
function checked<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const outcome = schema.safeParse(given);
  if (outcome.success) return outcome.data;
  const problems = outcome.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  throw new Error(problems.join('; '));
}

async function withUsers(work: (users: UserQueries, config: Config) => Promise<void>): Promise<void> {
  const config = loadConfig();
  const { database, hint } = usableDatabase(config);
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    await checkConnection(knex, { database, hint });
    await work(createUserQueries(knex, credentialLifeOf(config)), config);
  } finally {
    await knex.destroy();
  }
}

async function create(
  users: UserQueries,
  { email, username, password }: NewAdmin,
  cost: number,
): Promise<void> {
  if ((await users.findByEmail(email)) !== undefined) {
    throw new Error(
      `${email} has an account already; to make it an admin: npm run admin:create -- --email ${email} --promote`,
    );
  }
  const passwords = createPasswords({ cost });
  try {
    const passwordHash = await passwords.hash(password);
    const { id } = await users.insert({ email, username, passwordHash, role: 'admin' }, by);
    process.stdout.write(`Created admin ${username} (${id})\n`);
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    throw new Error(`the username ${username} is taken, or a deleted account still reserves it or ${email}`, {
      cause: error,
    });
  } finally {
    await passwords.close();
  }
}

async function promote(users: UserQueries, email: string): Promise<void> {
  const account = await users.findByEmail(email);
  if (account === undefined) throw new Error(`${email} has no account`);
  const { id, username, role } = account;
  if (role === 'admin') {
    process.stdout.write(`${username} (${id}) is an admin already\n`);
    return;
  }
  await users.update({ id, changes: { role: 'admin' }, by });
  process.stdout.write(`${username} (${id}) is an admin now, and must log in again\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error: unknown) => {
    process.stderr.write(`No admin was created: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
