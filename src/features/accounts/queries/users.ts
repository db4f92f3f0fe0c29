/**
 * Accounts in Postgres, their passwords, and the one-time tokens that stand in for a forgotten one. Each change is one
 * transaction with its event in the audit log and the revocations that it causes. Rows are locked in one order, admins first
 * and by id, so that of two who demote or delete each other at once the second sees what the first did, and neither waits for
 * the other; and of two who redeem a token at once the second finds it used.
 */
import type { Knex } from 'knex';
import { UniqueViolationError } from 'objection';
import { v7 as uuidv7 } from 'uuid';
import { confirmClaim } from '../../../../db/claims.ts';
import { User } from '../../../../db/models/user.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import { recordEvent, type Actor } from './audit.ts';
import { endAllCredentials, type CredentialLife, type Revocation } from './revocations.ts';

/** An account as the rest of the program knows it. Deleted accounts are none. */
export type Account = Readonly<
  Pick<User, 'id' | 'username' | 'email' | 'passwordHash' | 'role' | 'generation' | 'createdAt'>
>;

/** The closed list of what may be changed. */
export interface AccountChanges {
  readonly username?: string | undefined;
  /** In lower case. */
  readonly email?: string | undefined;
  readonly role?: 'user' | 'admin' | undefined;
}

type NewAccount = Pick<Account, 'username' | 'email' | 'passwordHash' | 'role'>;

export type UserQueries = ReturnType<typeof createUserQueries>;

/**
 * Queries on users over one pool. Every change confirms the claim of who makes it (see {@link confirmClaim}), and returns the
 * revocations that it causes, which the caller announces. All reject with {@link UnavailableError} when Postgres does not
 * answer.
 */
export function createUserQueries(knex: Knex, life: CredentialLife) {
  const living = () => User.query(knex).whereNull('deleted_at');
  const transact = <T>(work: (trx: Knex.Transaction) => Promise<T>): Promise<T> =>
    orUnavailable(knex.transaction(work));

  return {
    /**
     * @throws {ConflictError} username or e-mail is taken, perhaps by an account that was deleted; which of them is not said.
     * @throws {UnauthenticatedError} the credential behind the change was revoked.
     */
    insert(account: NewAccount, by: Actor): Promise<Account> {
      return transact(async (trx) => {
        await confirmClaim(trx, by.claim);
        const row = await orTaken(
          User.query(trx)
            .insert({ ...account, id: uuidv7() })
            .returning('*'),
        );
        const detail = { role: account.role, ...detailOf(by) };
        await recordEvent(trx, { type: 'account.registered', userId: row.id, by, detail });
        return row;
      });
    },

    find: (id: string): Promise<Account | undefined> => orUnavailable(living().findById(id)),

    /** The account with this e-mail (lower case). */
    findByEmail: (email: string): Promise<Account | undefined> =>
      orUnavailable(living().whereRaw('lower(email) = ?', email).first()),

    /** A page of accounts, the newest first. */
    async page({
      offset,
      limit,
    }: {
      readonly offset: number;
      readonly limit: number;
    }): Promise<{ readonly accounts: readonly Account[]; readonly total: number }> {
      // Ids are UUIDs of version 7, so they sort by time.
      const newest = living().orderBy('id', 'desc');
      const { results, total } = await orUnavailable(newest.range(offset, offset + limit - 1));
      return { accounts: results, total };
    },

    /**
     * Changes what differs, and says so in the audit log. Another role ends all sessions, because the role stands in tokens;
     * another e-mail ends the password resets that were sent to the old one.
     * @throws {NotFoundError} there is no such account.
     * @throws {ConflictError} the new name or e-mail is taken (`account_taken`), or nobody else is an admin (`last_admin`).
     */
    update(update: {
      readonly id: string;
      readonly changes: AccountChanges;
      readonly by: Actor;
    }): Promise<{ readonly account: Account; readonly revocations: readonly Revocation[] }> {
      return transact((trx) => updateAccount(trx, update, life));
    },

    /**
     * Deletes an account, and ends its sessions, API keys and password resets. The row stays, and with it the name.
     * @throws {NotFoundError} there is no such account.
     * @throws {ConflictError} nobody else is an admin (`last_admin`).
     */
    remove({
      id,
      by,
    }: {
      readonly id: string;
      readonly by: Actor;
    }): Promise<{ readonly deletedAt: Date; readonly revocations: readonly Revocation[] }> {
      return transact(async (trx) => {
        await lockWithoutLastAdmin(trx, id);
        await confirmClaim(trx, by.claim);
        const deletedAt = new Date();
        await User.query(trx).findById(id).patch({ deletedAt });
        const ended = { userId: id, reason: 'account_deleted', keys: true };
        const revocations = await endAllCredentials(trx, ended, life);
        await endResets(trx, id);
        await recordEvent(trx, { type: 'account.deleted', userId: id, by });
        return { deletedAt, revocations };
      });
    },

    /**
     * Changes the password and ends every session; API keys stay. `oldHash` is what the given password was compared with.
     * Undefined when the password has changed meanwhile or the account is gone.
     */
    changePassword({
      userId,
      oldHash,
      passwordHash,
      by,
    }: {
      readonly userId: string;
      readonly oldHash: string;
      readonly passwordHash: string;
      readonly by: Actor;
    }): Promise<readonly Revocation[] | undefined> {
      return transact(async (trx) => {
        const user = await lockLiving(trx, userId);
        if (user?.passwordHash !== oldHash) return undefined;
        return await setPassword(trx, { userId, passwordHash, by, type: 'password.changed' }, life);
      });
    },

    /**
     * Stores a reset by the hash of its token. Earlier ones of the account are void from then on.
     * @throws {NotFoundError} the account is gone.
     */
    storeReset({
      userId,
      hash,
      expiresInSeconds,
      by,
    }: {
      readonly userId: string;
      readonly hash: Buffer;
      readonly expiresInSeconds: number;
      readonly by: Actor;
    }): Promise<void> {
      return transact(async (trx) => {
        if ((await lockLiving(trx, userId)) === undefined) throw noSuchUser();
        // One at a time: who asks again does not trust the first, or has lost it.
        await endResets(trx, userId);
        await insertReset(trx, { userId, hash, expiresInSeconds });
        await recordEvent(trx, { type: 'password.reset_requested', userId, by, detail: detailOf(by) });
      });
    },

    /** Whether a reset can be redeemed, so that no work is spent on one that cannot. */
    isResetLive: async (hash: Buffer): Promise<boolean> =>
      (await orUnavailable(ownerOfReset(knex, hash))) !== undefined,

    /**
     * Changes the password of whom the reset is for, and ends every session and all other resets; API keys stay. Undefined when
     * the reset is unknown, used or expired, or the account is gone.
     */
    redeemReset({
      hash,
      passwordHash,
      by,
    }: {
      readonly hash: Buffer;
      readonly passwordHash: string;
      readonly by: Actor;
    }): Promise<{ readonly userId: string; readonly revocations: readonly Revocation[] } | undefined> {
      return transact(async (trx) => {
        const userId = await ownerOfReset(trx, hash);
        if (userId === undefined || (await lockLiving(trx, userId)) === undefined) return undefined;
        // Looked at again under the lock: somebody else may have been quicker.
        if ((await ownerOfReset(trx, hash)) === undefined) return undefined;
        const change = { userId, passwordHash, by, type: 'password.reset' } as const;
        return { userId, revocations: await setPassword(trx, change, life) };
      });
    },

    /** Stores a new hash of the same password, unless the password has changed meanwhile. Ends nothing. */
    async rehash(userId: string, oldHash: string, newHash: string): Promise<void> {
      const unchanged = living().where({ id: userId, password_hash: oldHash });
      await orUnavailable(unchanged.patch({ passwordHash: newHash }));
    },
  };
}

async function updateAccount(
  trx: Knex,
  { id, changes, by }: { readonly id: string; readonly changes: AccountChanges; readonly by: Actor },
  life: CredentialLife,
): Promise<{ readonly account: Account; readonly revocations: readonly Revocation[] }> {
  const before = await (changes.role === 'user'
    ? lockWithoutLastAdmin(trx, id)
    : lock(trx, id, by.claim?.userId));
  await confirmClaim(trx, by.claim);
  const { username, email, role } = changes;
  const patch = {
    ...(username === undefined || username === before.username ? {} : { username }),
    ...(email === undefined || email === before.email ? {} : { email }),
    ...(role === undefined || role === before.role ? {} : { role }),
  };
  if (Object.keys(patch).length === 0) return { account: before, revocations: [] };
  await orTaken(
    User.query(trx)
      .findById(id)
      .patch({ ...patch, updatedAt: trx.fn.now() }),
  );
  const fields = Object.keys(patch).filter((name) => name !== 'role');
  if (patch.email !== undefined) await endResets(trx, id);
  if (fields.length > 0)
    await recordEvent(trx, { type: 'account.updated', userId: id, by, detail: { fields, ...detailOf(by) } });
  let revocations: readonly Revocation[] = [];
  if (patch.role !== undefined) {
    const detail = { from: before.role, to: patch.role, ...detailOf(by) };
    await recordEvent(trx, { type: 'account.role_changed', userId: id, by, detail });
    revocations = await endAllCredentials(trx, { userId: id, reason: 'role_changed', keys: false }, life);
  }
  return { account: (await User.query(trx).findById(id)) ?? before, revocations };
}

async function setPassword(
  trx: Knex,
  {
    userId,
    passwordHash,
    by,
    type,
  }: {
    readonly userId: string;
    readonly passwordHash: string;
    readonly by: Actor;
    readonly type: 'password.changed' | 'password.reset';
  },
  life: CredentialLife,
): Promise<readonly Revocation[]> {
  await User.query(trx).findById(userId).patch({ passwordHash });
  await endResets(trx, userId);
  await recordEvent(trx, { type, userId, by, detail: detailOf(by) });
  const reason = type === 'password.changed' ? 'password_changed' : 'password_reset';
  return await endAllCredentials(trx, { userId, reason, keys: false }, life);
}

/** The unique indexes decide, so that two who take a name at once cannot both pass a check made beforehand. */
async function orTaken<T>(change: PromiseLike<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof UniqueViolationError)
      throw new ConflictError('Username or e-mail is taken', 'account_taken');
    throw error;
  }
}

/** Weaker than `for update`, so that sessions, keys and jobs, whose rows refer to the user's, can be stored meanwhile. */
async function lock(trx: Knex, id: string, actorId = id): Promise<User> {
  const rows = await User.query(trx)
    .findByIds([id, actorId])
    .whereNull('deleted_at')
    .orderBy('id')
    .forNoKeyUpdate();
  const row = rows.find((each) => each.id === id);
  if (row === undefined) throw noSuchUser();
  return row;
}

async function lockLiving(trx: Knex, id: string): Promise<User | undefined> {
  return await User.query(trx).findById(id).whereNull('deleted_at').forNoKeyUpdate();
}

/** Locks a row that must not be that of the only admin. */
async function lockWithoutLastAdmin(trx: Knex, id: string): Promise<User> {
  const admins = await User.query(trx)
    .where({ role: 'admin' })
    .whereNull('deleted_at')
    .orderBy('id')
    .forNoKeyUpdate();
  const row = await lock(trx, id);
  if (row.role === 'admin' && !admins.some((admin) => admin.id !== id))
    throw new ConflictError('This is the last admin; make another user an admin first', 'last_admin');
  return row;
}

/** The user whose password the token with this hash can reset; judged by the clock, not by the start of the transaction. */
async function ownerOfReset(knex: Knex, hash: Buffer): Promise<string | undefined> {
  const row = await knex('password_resets')
    .where({ hash })
    .whereNull('used_at')
    .where('expires_at', '>', knex.raw('clock_timestamp()'))
    .first<{ user_id: string } | undefined>('user_id');
  return row?.user_id;
}

async function insertReset(
  trx: Knex,
  { userId, hash, expiresInSeconds }: { userId: string; hash: Buffer; expiresInSeconds: number },
): Promise<void> {
  await trx('password_resets').insert({
    hash,
    user_id: userId,
    // Not the start of the transaction, which may have waited for the lock since: the order is that of the lock.
    created_at: trx.raw('clock_timestamp()'),
    expires_at: trx.raw("clock_timestamp() + ? * interval '1 second'", [expiresInSeconds]),
  });
}

async function endResets(trx: Knex, userId: string): Promise<void> {
  await trx('password_resets')
    .where({ user_id: userId })
    .whereNull('used_at')
    .update({ used_at: trx.fn.now() });
}

function detailOf({ via }: Actor): { readonly via?: string } {
  return via === undefined ? {} : { via };
}

function noSuchUser(): NotFoundError {
  return new NotFoundError('User not found', 'user_not_found');
}
