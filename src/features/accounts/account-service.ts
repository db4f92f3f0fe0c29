/**
 * What people and admins do with accounts: who may see and change which, what needs the password, and that credentials which
 * a change ends are known as ended everywhere.
 */
import type { AccountChanges, Author } from './queries/user-changes.ts';
import type { Account, UserQueries } from './queries/users.ts';
import type { Passwords } from './password-hashing.ts';
import type { Principal, Role } from '../../domain/principal.ts';
import { ForbiddenError, NotFoundError, ValidationError } from '../../domain/errors.ts';
import type { LoginThrottle } from './login-throttle.ts';
import type { Revocations } from './revocations.ts';

/** An account to make. */
export interface AccountRequest {
  readonly username: string;
  /** In lower case. */
  readonly email: string;
  readonly password: string;
  readonly role: Role;
}

/** Who asks for which account. */
export interface AccountLookup {
  readonly id: string;
  readonly viewer: Principal;
}

export interface AccountUpdateRequest extends AccountLookup {
  readonly changes: AccountChanges;
  /** Needed to change one's own e-mail, by which one logs in and resets a password. */
  readonly currentPassword: string | undefined;
  readonly by: Author & { readonly address: string };
}

export interface AccountRemoval extends AccountLookup {
  /** Needed to delete one's own account: nobody else can bring it back. */
  readonly currentPassword: string | undefined;
  readonly by: Author & { readonly address: string };
}

/** All reject with {@link UnavailableError} when Postgres does not answer. */
export interface AccountDesk {
  /**
   * Makes an account.
   * @throws {ConflictError} username or e-mail is taken.
   * @throws {UnavailableError} too many passwords are being hashed.
   */
  create(request: AccountRequest, by: Author): Promise<Account>;
  /** @throws {NotFoundError} there is no such account, or the viewer may not see it. */
  get(lookup: AccountLookup): Promise<Account>;
  /** A page of all accounts, the newest first; for admins. */
  page(range: {
    readonly page: number;
    readonly limit: number;
  }): Promise<{ readonly accounts: readonly Account[]; readonly total: number }>;
  /**
   * Changes an account; `{}` changes nothing.
   * @throws {NotFoundError} there is no such account, or the viewer may not see it.
   * @throws {ForbiddenError} only admins change roles; or the current password is wrong (`password_wrong`).
   * @throws {ValidationError} the current password is needed and missing.
   * @throws {RateLimitedError} too many wrong passwords.
   * @throws {ConflictError} the new name or e-mail is taken, or nobody else is an admin.
   */
  update(request: AccountUpdateRequest): Promise<Account>;
  /**
   * Deletes an account and ends its credentials. Returns when.
   * @throws {NotFoundError} there is no such account, or the viewer may not see it.
   * @throws {ForbiddenError} the current password is wrong (`password_wrong`).
   * @throws {ValidationError} the current password is needed and missing.
   * @throws {RateLimitedError} too many wrong passwords.
   * @throws {ConflictError} nobody else is an admin.
   */
  remove(removal: AccountRemoval): Promise<Date>;
}

interface AccountDeskDeps {
  readonly users: Pick<UserQueries, 'insert' | 'find' | 'page' | 'update' | 'remove'>;
  readonly passwords: Pick<Passwords, 'hash' | 'matches'>;
  readonly throttle: Pick<LoginThrottle, 'begin'>;
  readonly revocations: Pick<Revocations, 'announce'>;
}

/** Builds the {@link AccountDesk}. */
export function createAccountDesk(deps: AccountDeskDeps): AccountDesk {
  const { users, passwords, revocations } = deps;

  async function get({ id, viewer }: AccountLookup): Promise<Account> {
    refuseForeign(id, viewer);
    const account = await users.find(id);
    if (account === undefined) throw noSuchUser();
    return account;
  }

  async function update({
    id,
    viewer,
    changes,
    currentPassword,
    by,
  }: AccountUpdateRequest): Promise<Account> {
    const before = await get({ id, viewer });
    if (changes.role !== undefined && viewer.role !== 'admin')
      throw new ForbiddenError('Only admins change roles');
    const changesEmail = changes.email !== undefined && changes.email !== before.email;
    if (changesEmail && id === viewer.userId)
      await checkPassword(deps, { account: before, password: currentPassword, address: by.address });
    const { account, revocations: ended } = await users.update({ id, changes, by });
    await revocations.announce(ended);
    return account;
  }

  return {
    get,
    update,
    create: async ({ password, ...account }, by) =>
      await users.insert({ ...account, passwordHash: await passwords.hash(password, by.address) }, by),
    page: ({ page, limit }) => users.page({ offset: (page - 1) * limit, limit }),
    async remove({ id, viewer, currentPassword, by }) {
      const account = await get({ id, viewer });
      if (id === viewer.userId)
        await checkPassword(deps, { account, password: currentPassword, address: by.address });
      const { deletedAt, revocations: ended } = await users.remove({ id, by });
      await revocations.announce(ended);
      return deletedAt;
    },
  };
}

/** Others cannot tell an account that is not theirs from one that is not there. */
function refuseForeign(id: string, { userId, role }: Principal): void {
  if (id !== userId && role !== 'admin') throw noSuchUser();
}

function noSuchUser(): NotFoundError {
  return new NotFoundError('There is no such user, or it is not you', 'user_not_found');
}

interface PasswordCheck {
  readonly account: Account;
  readonly password: string | undefined;
  readonly address: string;
}

/** Whoever holds a stolen token guesses no faster than at the login. */
async function checkPassword(
  { passwords, throttle }: AccountDeskDeps,
  { account, password, address }: PasswordCheck,
): Promise<void> {
  if (password === undefined) {
    const field = { field: 'current_password', message: 'is required for this' };
    throw new ValidationError('The request breaks a rule', [field]);
  }
  const attempt = await throttle.begin({ account: account.email, address });
  if (!(await passwords.matches(password, account.passwordHash, address)))
    throw new ForbiddenError('The current password is wrong', 'password_wrong');
  await attempt.succeeded();
}
