/**
 * Changes of accounts, each inside a transaction that its caller begins. Rows are locked in one order, admins first and by id,
 * so that of two who demote or delete each other at once the second sees what the first did, and neither waits for the other.
 */
import type { Knex } from 'knex';
import { UniqueViolationError } from 'objection';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import { User } from '../../../../db/models/user.ts';
import { recordEvent, type Actor } from './audit.ts';
import { confirmClaim } from '../../../../db/claims.ts';
import { endAllCredentials, type CredentialLife } from './credentials.ts';
import type { Revocation } from './revocations.ts';

/** Who changes an account; `command` when it is the operator, at a shell. */
export interface Author extends Actor {
  readonly via?: 'command' | undefined;
}

/** The closed list of what may be changed. */
export interface AccountChanges {
  readonly username?: string | undefined;
  /** In lower case. */
  readonly email?: string | undefined;
  readonly role?: 'user' | 'admin' | undefined;
}

export interface AccountUpdate {
  readonly id: string;
  readonly changes: AccountChanges;
  readonly by: Author;
}

/** Changes what differs, and says so in the audit log. */
export async function updateAccount(
  trx: Knex,
  { id, changes, by }: AccountUpdate,
  life: CredentialLife,
): Promise<{ readonly row: User; readonly revocations: readonly Revocation[] }> {
  const before = await (changes.role === 'user'
    ? lockWithoutLastAdmin(trx, id)
    : lock(trx, id, by.claim?.userId));
  await confirmClaim(trx, by.claim);
  const patch = differences(before, changes);
  if (Object.keys(patch).length === 0) return { row: before, revocations: [] };
  await User.query(trx)
    .findById(id)
    .patch({ ...patch, updated_at: trx.fn.now() });
  const via = by.via === undefined ? {} : { via: by.via };
  const fields = Object.keys(patch).filter((name) => name !== 'role');
  if (patch.email !== undefined) await endPasswordResets(trx, id);
  if (fields.length > 0)
    await recordEvent(trx, { type: 'account.updated', userId: id, by, detail: { fields, ...via } });
  let revocations: readonly Revocation[] = [];
  if (patch.role !== undefined) {
    const detail = { from: before.role, to: patch.role, ...via };
    await recordEvent(trx, { type: 'account.role_changed', userId: id, by, detail });
    revocations = await endAllCredentials(trx, { userId: id, reason: 'role_changed', keys: false, ...life });
  }
  return { row: (await User.query(trx).findById(id)) ?? before, revocations };
}

/** Deletes an account; its row stays. */
export async function removeAccount(
  trx: Knex,
  { id, by }: { readonly id: string; readonly by: Author },
  life: CredentialLife,
): Promise<{ readonly deletedAt: Date; readonly revocations: readonly Revocation[] }> {
  await lockWithoutLastAdmin(trx, id);
  await confirmClaim(trx, by.claim);
  const deletedAt = new Date();
  await User.query(trx).findById(id).patch({ deleted_at: deletedAt });
  const revocations = await endAllCredentials(trx, {
    userId: id,
    reason: 'account_deleted',
    keys: true,
    ...life,
  });
  await endPasswordResets(trx, id);
  await recordEvent(trx, { type: 'account.deleted', userId: id, by });
  return { deletedAt, revocations };
}

/** The unique indexes decide, so that two who take a name at once cannot both pass a check made beforehand. */
export async function orTaken<T>(change: Promise<T>): Promise<T> {
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
  if (row === undefined) throw new NotFoundError('There is no such user', 'user_not_found');
  return row;
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
    throw new ConflictError('This is the last admin: make somebody else an admin first', 'last_admin');
  return row;
}

type Patch = Partial<Pick<User, 'username' | 'email' | 'role'>>;

function differences(row: User, { username, email, role }: AccountChanges): Patch {
  return {
    ...(username === undefined || username === row.username ? {} : { username }),
    ...(email === undefined || email === row.email ? {} : { email }),
    ...(role === undefined || role === row.role ? {} : { role }),
  };
}

async function endPasswordResets(trx: Knex, userId: string): Promise<void> {
  await trx('password_resets')
    .where({ user_id: userId })
    .whereNull('used_at')
    .update({ used_at: trx.fn.now() });
}
