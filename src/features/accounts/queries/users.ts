import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { User } from '../../../../db/models/user.ts';
import { recordEvent } from './audit.ts';
import { confirmClaim } from '../../../../db/claims.ts';
import type { CredentialLife } from './credentials.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import type { Revocation } from './revocations.ts';
import { orTaken, removeAccount, updateAccount, type AccountUpdate, type Author } from './user-changes.ts';

/** An account as the rest of the program knows it. Deleted accounts are none. */
export interface Account {
  readonly id: string;
  readonly username: string;
  /** In lower case. */
  readonly email: string;
  readonly passwordHash: string;
  readonly role: 'user' | 'admin';
  /** Of its credentials: those of earlier generations are void. */
  readonly generation: number;
  readonly createdAt: Date;
}

export type NewAccount = Pick<Account, 'username' | 'email' | 'passwordHash' | 'role'>;

/**
 * Accounts in Postgres. Each change is one transaction with its event in the audit log and the revocations that it causes,
 * which the caller announces. All reject with {@link UnavailableError} when Postgres does not answer.
 */
export interface UserQueries {
  /**
   * Every change confirms the claim of who makes it (see {@link confirmClaim}).
   * @throws {ConflictError} username or e-mail is taken, perhaps by an account that was deleted; which of them is not said.
   * @throws {UnauthenticatedError} the credential behind the change was revoked.
   */
  insert(account: NewAccount, by: Author): Promise<Account>;
  find(id: string): Promise<Account | undefined>;
  /** The account with this e-mail (lower case). */
  findByEmail(email: string): Promise<Account | undefined>;
  /** A page of accounts, the newest first. */
  page(range: {
    readonly offset: number;
    readonly limit: number;
  }): Promise<{ readonly accounts: readonly Account[]; readonly total: number }>;
  /**
   * Changes what differs. Another role ends all sessions, because the role stands in tokens; another e-mail ends the password
   * resets that were sent to the old one.
   * @throws {NotFoundError} there is no such account.
   * @throws {ConflictError} the new name or e-mail is taken (`account_taken`), or nobody else is an admin (`last_admin`).
   */
  update(
    update: AccountUpdate,
  ): Promise<{ readonly account: Account; readonly revocations: readonly Revocation[] }>;
  /**
   * Deletes an account, and ends its sessions, API keys and password resets. The row stays, and with it the name.
   * @throws {NotFoundError} there is no such account.
   * @throws {ConflictError} nobody else is an admin (`last_admin`).
   */
  remove(removal: {
    readonly id: string;
    readonly by: Author;
  }): Promise<{ readonly deletedAt: Date; readonly revocations: readonly Revocation[] }>;
}

/** Queries on users over one pool. */
export function createUserQueries(knex: Knex, life: CredentialLife): UserQueries {
  const living = () => User.query(knex).whereNull('deleted_at');

  async function insert(account: NewAccount, by: Author): Promise<Account> {
    const { username, email, passwordHash: password_hash, role } = account;
    return await orTaken(
      knex.transaction(async (trx) => {
        await confirmClaim(trx, by.claim);
        const row = await User.query(trx)
          .insert({ id: uuidv7(), username, email, password_hash, role })
          .returning('*');
        const detail = { role, ...(by.via === undefined ? {} : { via: by.via }) };
        await recordEvent(trx, { type: 'account.registered', userId: row.id, by, detail });
        return toAccount(row);
      }),
    );
  }

  return {
    insert: (account, by) => orUnavailable(insert(account, by)),

    async find(id) {
      return toAccountOrNone(await orUnavailable(living().findById(id)));
    },

    async findByEmail(email) {
      return toAccountOrNone(await orUnavailable(living().whereRaw('lower(email) = ?', email).first()));
    },

    async page({ offset, limit }) {
      // Ids are UUIDs of version 7, so they sort by time.
      const found = await orUnavailable(
        living()
          .orderBy('id', 'desc')
          .range(offset, offset + limit - 1),
      );
      return { accounts: found.results.map(toAccount), total: found.total };
    },

    async update(update) {
      const { row, revocations } = await orUnavailable(
        orTaken(knex.transaction((trx) => updateAccount(trx, update, life))),
      );
      return { account: toAccount(row), revocations };
    },

    remove: (removal) => orUnavailable(knex.transaction((trx) => removeAccount(trx, removal, life))),
  };
}

function toAccountOrNone(row: User | undefined): Account | undefined {
  return row === undefined ? undefined : toAccount(row);
}

function toAccount(row: User): Account {
  return {
    id: row.id,
    username: row.username,
    email: row.email,
    passwordHash: row.password_hash,
    role: row.role,
    generation: row.generation,
    createdAt: row.created_at,
  };
}
