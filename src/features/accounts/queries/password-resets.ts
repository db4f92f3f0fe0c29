/**
 * Changes of passwords, and the one-time tokens that stand in for a forgotten one. Everything that touches an account locks its
 * row first, so that of two who redeem at once the second finds the token used.
 */
import type { Knex } from 'knex';
import { NotFoundError } from '../../../domain/errors.ts';
import { User } from '../../../../db/models/user.ts';
import { recordEvent, type AuditType } from './audit.ts';
import { endAllCredentials, type CredentialLife } from './credentials.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import type { Revocation } from './revocations.ts';
import type { Author } from './user-changes.ts';

export interface PasswordChange {
  readonly userId: string;
  /** The hash that the given password was compared with. */
  readonly oldHash: string;
  readonly passwordHash: string;
  readonly by: Author;
}

export interface NewReset {
  readonly userId: string;
  /** Of the token. */
  readonly hash: Buffer;
  readonly expiresInSeconds: number;
  readonly by: Author;
}

export interface Redemption {
  readonly hash: Buffer;
  readonly passwordHash: string;
  readonly by: Author;
}

/** All reject with {@link UnavailableError} when Postgres does not answer. */
export interface PasswordQueries {
  /** What a password is compared with; undefined for an account that is deleted or was never there. */
  findHash(userId: string): Promise<{ readonly email: string; readonly passwordHash: string } | undefined>;
  /**
   * Changes the password and ends every session; API keys stay. Undefined when the password has changed meanwhile or the
   * account is gone.
   */
  change(change: PasswordChange): Promise<readonly Revocation[] | undefined>;
  /**
   * Stores a reset. Earlier ones of the account are void from then on.
   * @throws {NotFoundError} the account is gone.
   */
  storeReset(reset: NewReset): Promise<void>;
  /** Whether a reset can be redeemed, so that no work is spent on one that cannot. */
  isLive(hash: Buffer): Promise<boolean>;
  /**
   * Changes the password of whom the reset is for, and ends every session and all other resets. Undefined when the reset is
   * unknown, used or expired, or the account is gone.
   */
  redeem(
    redemption: Redemption,
  ): Promise<{ readonly userId: string; readonly revocations: readonly Revocation[] } | undefined>;
  /** Stores a new hash of the same password, unless the password has changed meanwhile. Ends nothing. */
  rehash(userId: string, oldHash: string, newHash: string): Promise<void>;
}

/** Queries on passwords over one pool. */
export function createPasswordQueries(knex: Knex, life: CredentialLife): PasswordQueries {
  const transact = <T>(work: (trx: Knex.Transaction) => Promise<T>): Promise<T> =>
    orUnavailable(knex.transaction(work));

  return {
    async findHash(userId) {
      const row = await orUnavailable(User.query(knex).findById(userId).whereNull('deleted_at'));
      return row === undefined ? undefined : { email: row.email, passwordHash: row.password_hash };
    },
    change: (change) => transact((trx) => changePassword(trx, change, life)),
    storeReset: (reset) => transact((trx) => storeReset(trx, reset)),
    isLive: async (hash) => (await orUnavailable(live(knex).where({ hash }).first())) !== undefined,
    redeem: (redemption) => transact((trx) => redeem(trx, redemption, life)),
    async rehash(userId, oldHash, newHash) {
      const unchanged = knex('users').where({ id: userId, password_hash: oldHash }).whereNull('deleted_at');
      await orUnavailable(unchanged.update({ password_hash: newHash }));
    },
  };
}

async function changePassword(
  trx: Knex,
  { userId, oldHash, passwordHash, by }: PasswordChange,
  life: CredentialLife,
): Promise<readonly Revocation[] | undefined> {
  const user = await lock(trx, userId);
  if (user?.password_hash !== oldHash) return undefined;
  return await setPassword(trx, { userId, passwordHash, by, type: 'password.changed' }, life);
}

async function storeReset(trx: Knex, { userId, hash, expiresInSeconds, by }: NewReset): Promise<void> {
  if ((await lock(trx, userId)) === undefined)
    throw new NotFoundError('There is no such user', 'user_not_found');
  // One at a time: who asks again does not trust the first, or has lost it.
  await endResets(trx, (resets) => resets.where({ user_id: userId }));
  await trx('password_resets').insert({
    hash,
    user_id: userId,
    // Not the begin of the transaction, in which one may have waited for the lock: the order is that of the lock.
    created_at: trx.raw('clock_timestamp()'),
    expires_at: trx.raw("clock_timestamp() + ? * interval '1 second'", [expiresInSeconds]),
  });
  await recordEvent(trx, { type: 'password.reset_requested', userId, by, detail: detailOf(by) });
}

async function redeem(
  trx: Knex,
  { hash, passwordHash, by }: Redemption,
  life: CredentialLife,
): Promise<{ userId: string; revocations: readonly Revocation[] } | undefined> {
  const found = await live(trx).where({ hash }).first();
  if (found === undefined) return undefined;
  const { user_id: userId } = found;
  if ((await lock(trx, userId)) === undefined) return undefined;
  // Looked at again under the lock: somebody else may have been quicker.
  if ((await live(trx).where({ hash }).first()) === undefined) return undefined;
  const revocations = await setPassword(trx, { userId, passwordHash, by, type: 'password.reset' }, life);
  return { userId, revocations };
}

interface NewPassword {
  readonly userId: string;
  readonly passwordHash: string;
  readonly by: Author;
  readonly type: Extract<AuditType, 'password.changed' | 'password.reset'>;
}

async function setPassword(
  trx: Knex,
  { userId, passwordHash, by, type }: NewPassword,
  life: CredentialLife,
): Promise<readonly Revocation[]> {
  await trx('users').where({ id: userId }).update({ password_hash: passwordHash });
  await endResets(trx, (resets) => resets.where({ user_id: userId }));
  await recordEvent(trx, { type, userId, by, detail: detailOf(by) });
  const reason = type === 'password.changed' ? 'password_changed' : 'password_reset';
  return await endAllCredentials(trx, { userId, reason, keys: false, ...life });
}

interface ResetRow {
  readonly hash: Buffer;
  readonly user_id: string;
}

/** Resets that can be redeemed, as far as time is concerned by the clock and not by the begin of the transaction. */
function live(knex: Knex): Knex.QueryBuilder<ResetRow, ResetRow[]> {
  return knex('password_resets')
    .whereNull('used_at')
    .where('expires_at', '>', knex.raw('clock_timestamp()'))
    .select<ResetRow[]>('hash', 'user_id') as Knex.QueryBuilder<ResetRow, ResetRow[]>;
}

async function endResets(trx: Knex, which: (resets: Knex.QueryBuilder) => Knex.QueryBuilder): Promise<void> {
  await which(trx('password_resets').whereNull('used_at')).update({ used_at: trx.fn.now() });
}

/** Weaker than `for update`, so that sessions and jobs, whose rows refer to the user's, can be stored meanwhile. */
async function lock(trx: Knex, userId: string): Promise<User | undefined> {
  return await User.query(trx).findById(userId).whereNull('deleted_at').forNoKeyUpdate();
}

function detailOf({ via }: Author): { readonly via?: string } {
  return via === undefined ? {} : { via };
}
