import type { Knex } from 'knex';
import { UniqueViolationError } from 'objection';
import { v7 as uuidv7 } from 'uuid';
import { ConflictError } from '../../src/lib/errors.ts';
import { User } from '../models/user.ts';
import { orUnavailable } from './outage.ts';

/** An account as the rest of the program knows it. */
export interface Account {
  readonly id: string;
  readonly username: string;
  /** In lower case. */
  readonly email: string;
  readonly passwordHash: string;
  readonly role: 'user' | 'admin';
}

export interface NewAccount {
  readonly username: string;
  /** In lower case. */
  readonly email: string;
  readonly passwordHash: string;
  readonly role: 'user' | 'admin';
}

export interface UserQueries {
  /**
   * Stores an account.
   * @throws {ConflictError} username or e-mail is taken; which of the two is not said.
   * @throws {UnavailableError} Postgres does not answer.
   */
  insert(account: NewAccount): Promise<Account>;
  /**
   * The account with this e-mail (lower case), unless it was deleted.
   * @throws {UnavailableError} Postgres does not answer.
   */
  findByEmail(email: string): Promise<Account | undefined>;
}

/** Queries on users over one pool. */
export function createUserQueries(knex: Knex): UserQueries {
  async function insert(account: NewAccount): Promise<Account> {
    const { username, email, passwordHash: password_hash, role } = account;
    try {
      const row = await orUnavailable(
        User.query(knex).insert({ id: uuidv7(), username, email, password_hash, role }),
      );
      return { ...account, id: row.id };
    } catch (error) {
      // The unique indexes decide, so that two registrations at once cannot both pass a check made beforehand.
      if (error instanceof UniqueViolationError)
        throw new ConflictError('Username or e-mail is taken', 'account_taken');
      throw error;
    }
  }

  async function findByEmail(email: string): Promise<Account | undefined> {
    const query = User.query(knex).whereRaw('lower(email) = ?', email).whereNull('deleted_at').first();
    const row = await orUnavailable(query);
    return row === undefined ? undefined : toAccount(row);
  }

  return { insert, findByEmail };
}

function toAccount(row: User): Account {
  return {
    id: row.id,
    username: row.username,
    email: row.email,
    passwordHash: row.password_hash,
    role: row.role,
  };
}
