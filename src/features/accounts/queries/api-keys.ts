import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { ConflictError } from '../../../domain/errors.ts';
import type { Scope } from '../../../domain/scopes.ts';
import { recordEvent, type Actor } from './audit.ts';
import { confirmClaim } from '../../../../db/claims.ts';
import type { CredentialLife } from './credentials.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { storeRevocations, type Revocation } from './revocations.ts';

/** An API key as its owner sees it. The secret is stored nowhere. */
export interface ApiKey {
  readonly id: string;
  readonly name: string;
  /** First characters of the secret, to tell keys apart. */
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  /** Requests a UTC day; null for any number. */
  readonly dailyQuota: number | null;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  /** Written twice a minute. */
  readonly lastUsedAt: Date | null;
}

export interface NewApiKey {
  readonly userId: string;
  readonly name: string;
  readonly prefix: string;
  /** SHA-256 of the secret. */
  readonly hash: Buffer;
  readonly scopes: readonly Scope[];
  readonly dailyQuota: number | null;
  readonly expiresAt: Date | null;
  readonly by: Actor;
}

/** A key that may be used, with what is needed of its owner. */
export interface UsableKey extends Pick<ApiKey, 'id' | 'scopes' | 'dailyQuota' | 'expiresAt'> {
  readonly userId: string;
  readonly role: 'user' | 'admin';
  readonly generation: number;
}

/** API keys in Postgres. All reject with {@link UnavailableError} when it does not answer. */
export interface ApiKeyQueries {
  /**
   * @throws {ConflictError} the user has as many keys as one may have.
   * @throws {UnauthenticatedError} the credential behind the request was revoked.
   */
  insert(key: NewApiKey): Promise<ApiKey>;
  /** Keys of a user that were not revoked, the newest first. */
  list(userId: string): Promise<readonly ApiKey[]>;
  /** Revokes a key of this user; undefined when there is none. */
  revoke(key: {
    readonly id: string;
    readonly userId: string;
    readonly by: Actor;
  }): Promise<readonly Revocation[] | undefined>;
  /** The key with this hash, unless it was revoked, has expired or its account was deleted. */
  findUsable(hash: Buffer): Promise<UsableKey | undefined>;
  /** Says that keys were used just now. */
  touch(ids: readonly string[]): Promise<void>;
}

/** Live keys of one user. */
const mostKeys = 50;

/** Queries on API keys over one pool. */
export function createApiKeyQueries(knex: Knex, life: CredentialLife): ApiKeyQueries {
  return {
    insert: (key) => orUnavailable(knex.transaction((trx) => insert(trx, key))),
    list: (userId) => orUnavailable(list(knex, userId)),
    revoke: (key) => orUnavailable(knex.transaction((trx) => revoke(trx, key, life))),
    findUsable: (hash) => orUnavailable(findUsable(knex, hash)),
    touch: (ids) => orUnavailable(touch(knex, ids)),
  };
}

async function list(knex: Knex, userId: string): Promise<readonly ApiKey[]> {
  const rows = await knex('api_keys')
    .where({ user_id: userId })
    .whereNull('revoked_at')
    .orderBy('id', 'desc')
    .select<KeyRow[]>(shown);
  return rows.map(toKey);
}

async function revoke(
  trx: Knex.Transaction,
  { id, userId, by }: Parameters<ApiKeyQueries['revoke']>[0],
  { revocationSeconds }: CredentialLife,
): Promise<readonly Revocation[] | undefined> {
  const [row] = await trx('api_keys')
    .where({ id, user_id: userId })
    .whereNull('revoked_at')
    .update({ revoked_at: trx.fn.now() })
    .returning<{ prefix: string }[]>('prefix');
  if (row === undefined) return undefined;
  await recordEvent(trx, { type: 'key.revoked', userId, by, detail: { key: id, prefix: row.prefix } });
  const subject = { kind: 'key', subject: id, generation: null } as const;
  return await storeRevocations(trx, [subject], revocationSeconds);
}

type UsableRow = KeyRow & { readonly user_id: string } & Pick<UsableKey, 'role' | 'generation'>;

async function findUsable(knex: Knex, hash: Buffer): Promise<UsableKey | undefined> {
  const row = await knex('api_keys')
    .join('users', 'users.id', 'api_keys.user_id')
    .where('api_keys.hash', hash)
    .whereNull('api_keys.revoked_at')
    .whereNull('users.deleted_at')
    .whereRaw('(api_keys.expires_at is null or api_keys.expires_at > now())')
    .first<UsableRow | undefined>('api_keys.*', 'users.role', 'users.generation');
  if (row === undefined) return undefined;
  const { id, scopes, dailyQuota, expiresAt } = toKey(row);
  const { user_id: userId, role, generation } = row;
  return { id, scopes, dailyQuota, expiresAt, userId, role, generation };
}

async function touch(knex: Knex, ids: readonly string[]): Promise<void> {
  await knex('api_keys')
    .whereIn('id', [...ids])
    .update({ last_used_at: knex.fn.now() });
}

async function insert(trx: Knex.Transaction, key: NewApiKey): Promise<ApiKey> {
  const { userId, by } = key;
  // This locks the row of the user, so that two requests cannot both find room for the last key.
  await confirmClaim(trx, by.claim);
  const [held] = await trx('api_keys').where({ user_id: userId }).whereNull('revoked_at').count({ n: '*' });
  if (Number(held?.['n'] ?? 0) >= mostKeys) {
    throw new ConflictError(`You have ${mostKeys} API keys; revoke one first`, 'too_many_keys');
  }
  const [row] = await trx('api_keys')
    .insert({
      id: uuidv7(),
      user_id: userId,
      name: key.name,
      prefix: key.prefix,
      hash: key.hash,
      scopes: key.scopes as string[],
      daily_quota: key.dailyQuota,
      expires_at: key.expiresAt,
    })
    .returning<KeyRow[]>(shown);
  if (row === undefined) throw new Error('an inserted API key was not returned');
  const detail = { key: row.id, prefix: row.prefix, scopes: row.scopes };
  await recordEvent(trx, { type: 'key.created', userId, by, detail });
  return toKey(row);
}

const shown = ['id', 'name', 'prefix', 'scopes', 'daily_quota', 'created_at', 'expires_at', 'last_used_at'];

interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  readonly daily_quota: number | null;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly last_used_at: Date | null;
}

function toKey(row: KeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes,
    dailyQuota: row.daily_quota,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  };
}
