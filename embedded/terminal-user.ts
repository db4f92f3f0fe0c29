/**
 * The user of the commands for a terminal. Their accounts are kept in the data folder, one for each command and API,
 * because an address may register only a few accounts in an hour.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { PricepoolClient } from '../client/pricepool-client.ts';
import { PricepoolError } from '../client/pricepool-error.ts';
import { CommandError } from './api-place.ts';
import { projectRoot } from './project-root.ts';

interface KeptUser {
  readonly username: string;
  readonly email: string;
  readonly password: string;
}

const fileName = 'terminal-users.json';
/** Accounts that are kept, those used last. */
const maxKept = 20;

/**
 * Logs in with the account of an earlier run, or else registers one.
 * @throws {CommandError} with the time to come back, if too many accounts were made.
 */
export async function becomeUser(
  client: PricepoolClient,
  requested: {
    /** Name of the command, with which the user's name begins. */
    readonly command: string;
    /** Root of the API. */
    readonly url: string;
    /** Its PRICEPOOL_DATA_DIR is the data folder. */
    readonly environment: NodeJS.ProcessEnv;
  },
): Promise<{
  readonly username: string;
  /** Whether it was registered just now. */
  readonly isNew: boolean;
}> {
  const folder = resolve(projectRoot, requested.environment['PRICEPOOL_DATA_DIR'] ?? '.pricepool');
  const key = `${requested.command} ${requested.url}`;
  const users = await keptUsers(folder);
  const kept = users.get(key);
  if (kept !== undefined && (await isLoggedIn(client, kept)))
    return { username: kept.username, isNew: false };
  const user = await becomeNewUser(client, requested.command);
  users.delete(key);
  // A folder that cannot be written to costs no more than another registration next time.
  await keep(folder, [...users, [key, user] as const].slice(-maxKept)).catch(() => undefined);
  return { username: user.username, isNew: true };
}

/** False when the API does not know the account: its database is another one by now, or the account was removed. */
async function isLoggedIn(client: PricepoolClient, { email, password }: KeptUser): Promise<boolean> {
  try {
    await client.login({ email, password });
    return true;
  } catch (error) {
    if (error instanceof PricepoolError && (error.status === 401 || error.status === 403)) return false;
    throw error;
  }
}

/**
 * Registers an account and logs in with it.
 * @throws {CommandError} as {@link becomeUser}.
 */
export async function becomeNewUser(client: PricepoolClient, prefix: string): Promise<KeptUser> {
  const username = `${prefix}-${randomBytes(4).toString('hex')}`;
  const email = `${username}@example.com`;
  const password = `${randomBytes(12).toString('base64url')}-a1`;
  try {
    await client.register({ username, email, password });
  } catch (error) {
    if (error instanceof PricepoolError && error.status === 429) throw tooManyAccounts(error);
    throw error;
  }
  await client.login({ email, password });
  return { username, email, password };
}

function tooManyAccounts({ retryAfterSeconds = 3_600 }: PricepoolError): CommandError {
  return new CommandError(
    'The API has registered as many accounts from this address as REGISTRATIONS_PER_HOUR allows.\n' +
      `Try again in ${Math.ceil(retryAfterSeconds / 60)} minutes, or raise the limit.`,
  );
}

async function keptUsers(folder: string): Promise<Map<string, KeptUser>> {
  try {
    const kept = JSON.parse(await readFile(join(folder, fileName), 'utf8')) as Record<string, KeptUser>;
    return new Map(Object.entries(kept));
  } catch {
    return new Map();
  }
}

/** Written beside and renamed, so that two commands at once leave a whole file. */
async function keep(folder: string, users: readonly (readonly [string, KeptUser])[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `${fileName}.${randomBytes(6).toString('hex')}`);
  try {
    const text = `${JSON.stringify(Object.fromEntries(users), null, 2)}\n`;
    await writeFile(draft, text, { mode: 0o600, flag: 'wx' });
    await rename(draft, join(folder, fileName));
  } finally {
    await rm(draft, { force: true });
  }
}
