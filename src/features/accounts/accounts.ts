/**
 * Operations of users and admins on accounts: who may see and change which, what requires the password, how a forgotten
 * password is reset, and how credentials that a change ends are revoked everywhere. A wrong password here counts like a failed
 * login. No response reveals whether an account with an e-mail exists.
 */
import { createHash } from 'node:crypto';
import {
  AppError,
  ForbiddenError,
  NotFoundError,
  RateLimitedError,
  UnauthenticatedError,
  ValidationError,
} from '../../domain/errors.ts';
import type { Principal, Role } from '../../domain/principal.ts';
import type { LimitPolicy } from '../../domain/rate-limit.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import type { Allowances } from '../../platform/redis/allowances.ts';
import type { LoginThrottle } from './login-throttle.ts';
import type { Passwords } from './password-hashing.ts';
import type { Actor } from './queries/audit.ts';
import type { Account, AccountChanges, UserQueries } from './queries/users.ts';
import type { Revocations } from './revocations.ts';
import { hashOfSecret, isSecret } from './secrets.ts';

/** Requests a password reset mail for an e-mail in lower case. */
export type RequestResetMail = (mail: {
  readonly email: string;
  /** The address and the id of the request, for the audit log. */
  readonly address: string | undefined;
  readonly requestId: string | undefined;
}) => Promise<void>;

/** Who makes a request, always with an address. */
export type Caller = Actor & { readonly address: string };

const hourSeconds = 3_600;
const perAddress: LimitPolicy = { name: 'reset-address', limit: 5, windowSeconds: hourSeconds };
const perAccount: LimitPolicy = { name: 'reset-account', limit: 3, windowSeconds: hourSeconds };

/** A stolen token lets its holder guess the password no faster than the login does. */
async function checkPassword(
  {
    throttle,
    passwords,
  }: { readonly throttle: LoginThrottle; readonly passwords: Pick<Passwords, 'matches'> },
  account: Account,
  password: string,
  address: string,
): Promise<void> {
  const attempt = await throttle.begin({ account: account.email, address });
  if (!(await passwords.matches(password, account.passwordHash, address))) throw wrongPassword();
  await attempt.succeeded();
}

/**
 * Builds the operations on accounts. All reject with {@link UnavailableError} when Postgres does not answer or too many
 * passwords wait to be hashed.
 */
export function createAccounts({
  users,
  passwords,
  throttle,
  revocations,
  allowances,
  requestMail,
}: {
  readonly users: Omit<UserQueries, 'findByEmail' | 'storeReset' | 'rehash'>;
  readonly passwords: Pick<Passwords, 'hash' | 'matches'>;
  readonly throttle: LoginThrottle;
  readonly revocations: Pick<Revocations, 'announce'>;
  readonly allowances: Pick<Allowances, 'take'>;
  /** Absent: there is no mail server. */
  readonly requestMail?: RequestResetMail | undefined;
}) {
  const checking = { throttle, passwords };
  /** For other users, an account that is not theirs looks like one that does not exist. */
  async function get({ id, viewer }: { readonly id: string; readonly viewer: Principal }): Promise<Account> {
    const account = id === viewer.userId || viewer.role === 'admin' ? await users.find(id) : undefined;
    if (account === undefined) throw new NotFoundError('User not found', 'user_not_found');
    return account;
  }

  return {
    /**
     * Creates an account, with an e-mail in lower case.
     * @throws {ConflictError} username or e-mail is taken.
     */
    async create(
      {
        password,
        ...account
      }: {
        readonly username: string;
        readonly email: string;
        readonly password: string;
        readonly role: Role;
      },
      by: Actor,
    ): Promise<Account> {
      return await users.insert({ ...account, passwordHash: await passwords.hash(password, by.address) }, by);
    },

    /** @throws {NotFoundError} there is no such account, or the viewer may not see it. */
    get,

    /** A page of all accounts, the newest first; for admins. */
    page: ({ page, limit }: { readonly page: number; readonly limit: number }) =>
      users.page({ offset: (page - 1) * limit, limit }),

    /**
     * Changes an account; `{}` changes nothing. Changing one's own e-mail, which is used to log in and to reset a password,
     * requires the current password.
     * @throws {NotFoundError} there is no such account, or the viewer may not see it.
     * @throws {ForbiddenError} only admins can change roles; or the current password is wrong (`password_wrong`).
     * @throws {ValidationError} the current password is required and missing.
     * @throws {RateLimitedError} too many wrong passwords.
     * @throws {ConflictError} the new name or e-mail is taken, or the user is the last admin.
     */
    async update({
      id,
      viewer,
      changes,
      currentPassword,
      by,
    }: {
      readonly id: string;
      readonly viewer: Principal;
      readonly changes: AccountChanges;
      readonly currentPassword: string | undefined;
      readonly by: Caller;
    }): Promise<Account> {
      const before = await get({ id, viewer });
      if (changes.role !== undefined && viewer.role !== 'admin')
        throw new ForbiddenError('Only admins can change roles');
      const changesEmail = changes.email !== undefined && changes.email !== before.email;
      if (changesEmail && id === viewer.userId)
        await checkPassword(checking, before, given(currentPassword), by.address);
      const { account, revocations: ended } = await users.update({ id, changes, by });
      await revocations.announce(ended);
      return account;
    },

    /**
     * Deletes an account and ends its credentials. Returns the time. Deleting one's own account requires the current password,
     * because nobody else can restore it.
     * @throws {NotFoundError} there is no such account, or the viewer may not see it.
     * @throws {ForbiddenError} the current password is wrong (`password_wrong`).
     * @throws {ValidationError} the current password is required and missing.
     * @throws {RateLimitedError} too many wrong passwords.
     * @throws {ConflictError} the user is the last admin.
     */
    async remove({
      id,
      viewer,
      currentPassword,
      by,
    }: {
      readonly id: string;
      readonly viewer: Principal;
      readonly currentPassword: string | undefined;
      readonly by: Caller;
    }): Promise<Date> {
      const account = await get({ id, viewer });
      if (id === viewer.userId) await checkPassword(checking, account, given(currentPassword), by.address);
      const { deletedAt, revocations: ended } = await users.remove({ id, by });
      await revocations.announce(ended);
      return deletedAt;
    },

    /**
     * Changes a password and ends every session of the account, including the caller's; API keys stay valid.
     * @throws {ForbiddenError} the current password is wrong (code `password_wrong`).
     * @throws {RateLimitedError} too many wrong passwords.
     */
    async changePassword({
      userId,
      currentPassword,
      password,
      by,
    }: {
      readonly userId: string;
      readonly currentPassword: string;
      readonly password: string;
      readonly by: Caller;
    }): Promise<void> {
      const account = await users.find(userId);
      if (account === undefined) throw new UnauthenticatedError();
      await checkPassword(checking, account, currentPassword, by.address);
      const passwordHash = await passwords.hash(password, by.address);
      const oldHash = account.passwordHash;
      const ended = await users.changePassword({ userId, oldHash, passwordHash, by });
      // The password has been changed since it was compared, so it is not the current one any more.
      if (ended === undefined) throw wrongPassword();
      await revocations.announce(ended);
    },

    /**
     * Requests a token by mail if an account has this e-mail (lower case). Behaves the same if none has.
     * @throws {AppError} 501, code `mail_not_configured`.
     * @throws {RateLimitedError} too many requests from this address.
     */
    requestReset: (request: Parameters<typeof requestReset>[2]) =>
      requestReset(allowances, requestMail, request),

    /**
     * Sets the password of the account of the token, and ends all its sessions; API keys stay valid.
     * @throws {UnauthenticatedError} the token is unknown, used or expired (code `reset_invalid`).
     */
    async reset({
      token,
      password,
      by,
    }: {
      readonly token: string;
      readonly password: string;
      readonly by: Caller;
    }): Promise<void> {
      const hash = isSecret('reset', token) ? hashOfSecret(token) : undefined;
      // Checked first, so that an invalid token costs us no hashing.
      if (hash === undefined || !(await users.isResetLive(hash))) throw invalidReset();
      const passwordHash = await passwords.hash(password, by.address);
      const redeemed = await users.redeemReset({ hash, passwordHash, by });
      if (redeemed === undefined) throw invalidReset();
      await revocations.announce(redeemed.revocations);
    },
  };
}

async function requestReset(
  allowances: Pick<Allowances, 'take'>,
  requestMail: RequestResetMail | undefined,
  { email, by }: { readonly email: string; readonly by: Caller },
): Promise<void> {
  if (requestMail === undefined)
    throw new AppError('This server sends no mail; ask its operator for a reset token', {
      code: 'mail_not_configured',
      status: 501,
    });
  await allowances.take(perAddress, limitSubjectOf(by.address));
  try {
    await allowances.take(perAccount, createHash('sha256').update(email).digest('base64url'));
  } catch (error) {
    // A refusal would reveal that someone else has asked.
    if (error instanceof RateLimitedError) return;
    throw error;
  }
  await requestMail({ email, address: by.address, requestId: by.requestId });
}

/** @throws {ValidationError} the current password is missing. */
function given(password: string | undefined): string {
  if (password !== undefined) return password;
  const field = { field: 'current_password', message: 'is required for this change' };
  throw new ValidationError('The request is not valid', [field]);
}

function wrongPassword(): ForbiddenError {
  return new ForbiddenError('The current password is wrong', 'password_wrong');
}

function invalidReset(): UnauthenticatedError {
  return new UnauthenticatedError(
    'The reset token is not valid: it is unknown, used or expired',
    'reset_invalid',
  );
}
