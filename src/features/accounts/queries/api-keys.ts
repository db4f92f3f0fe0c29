import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { confirmClaim } from '../../../../db/claims.ts';
import { ApiKeyRow } from '../../../../db/models/api-key.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { ConflictError } from '../../../domain/errors.ts';
import { recordEvent, type Actor } from './audit.ts';
import { storeRevocations, type CredentialLife, type Revocation } from './revocations.ts';
import type { Account } from './users.ts';

/** An API key as its owner sees it. */
export type ApiKey = Readonly<
  Pick<
    ApiKeyRow,
    'id' | 'name' | 'prefix' | 'scopes' | 'dailyQuota' | 'createdAt' | 'expiresAt' | 'lastUsedAt'
  >
>;

/** A usable key, with the necessary data of its owner. */
export type UsableKey = Readonly<
  Pick<ApiKeyRow, 'id' | 'userId' | 'scopes' | 'dailyQuota' | 'expiresAt'> &
    Pick<Account, 'role' | 'generation'>
>;

export type ApiKeyQueries = ReturnType<typeof createApiKeyQueries>;

/** Live keys of one user. */
const maxKeys = 50;

const shown = ['id', 'name', 'prefix', 'scopes', 'daily_quota', 'created_at', 'expires_at', 'last_used_at'];

/** API keys in Postgres. All reject with {@link UnavailableError} when it does not answer. */
export function createApiKeyQueries(knex: Knex, life: CredentialLife) {
  const liveOf = (db: Knex, userId: string) =>
    ApiKeyRow.query(db).where({ user_id: userId }).whereNull('revoked_at');

  return {
    /**
     * @throws {ConflictError} the user has reached the limit of keys.
     * @throws {UnauthenticatedError} the credential of the request was revoked.
     */
    insert({
      by,
      ...key
    }: Pick<ApiKey, 'name' | 'prefix' | 'scopes' | 'dailyQuota' | 'expiresAt'> & {
      readonly userId: string;
      /** SHA-256 of the secret. */
      readonly hash: Buffer;
      readonly by: Actor;
    }): Promise<ApiKey> {
      const { userId } = key;
      const insert = knex.transaction(async (trx) => {
        // This locks the row of the user, so that two requests cannot both find room for the last key.
        await confirmClaim(trx, by.claim);
        if ((await liveOf(trx, userId).resultSize()) >= maxKeys)
          throw new ConflictError(`You have ${maxKeys} API keys; revoke one first`, 'too_many_keys');
        const row = await ApiKeyRow.query(trx)
          .insert({ ...key, id: uuidv7() })
          .returning(shown);
        const detail = { key: row.id, prefix: row.prefix, scopes: row.scopes };
        await recordEvent(trx, { type: 'key.created', userId, by, detail });
        return row;
      });
      return orUnavailable(insert);
    },

    /** Keys of a user that were not revoked, the newest first. */
    list: (userId: string): Promise<readonly ApiKey[]> =>
      orUnavailable(liveOf(knex, userId).orderBy('id', 'desc').select(shown)),

    /** Revokes a key of this user; undefined when there is none. */
    revoke({
      id,
      userId,
      by,
    }: {
      readonly id: string;
      readonly userId: string;
      readonly by: Actor;
    }): Promise<readonly Revocation[] | undefined> {
      const revoke = knex.transaction(async (trx) => {
        const [row] = await liveOf(trx, userId)
          .where({ id })
          .patch({ revokedAt: trx.fn.now() })
          .returning(['prefix']);
        if (row === undefined) return undefined;
        await recordEvent(trx, { type: 'key.revoked', userId, by, detail: { key: id, prefix: row.prefix } });
        return await storeRevocations(trx, [{ kind: 'key', subject: id, generation: null }], life);
      });
      return orUnavailable(revoke);
    },

    /** The key with this hash, unless it was revoked, has expired or its account was deleted. Called for every new key. */
    async findUsable(hash: Buffer): Promise<UsableKey | undefined> {
      const { rows } = await orUnavailable(knex.raw<{ rows: UsableKey[] }>(usableSql, [hash]));
      return rows[0];
    },

    /** Stores that keys were used just now. */
    async touch(ids: readonly string[]): Promise<void> {
      const used = knex('api_keys').whereIn('id', [...ids]);
      await orUnavailable(used.update({ last_used_at: knex.fn.now() }));
    },
  };
}

const usableSql = `select api_keys.id, user_id as "userId", scopes, daily_quota as "dailyQuota", expires_at as "expiresAt",
    users.role, users.generation
  from api_keys join users on users.id = api_keys.user_id
  where api_keys.hash = ? and api_keys.revoked_at is null and users.deleted_at is null
    and (api_keys.expires_at is null or api_keys.expires_at > now())`;
