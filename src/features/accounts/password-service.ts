/**
 * Changing a password, and getting in again without one. A password that is guessed here is counted as one that is guessed at
 * the login; whether there is an account with an e-mail is told to nobody.
 */
import { createHash } from 'node:crypto';
import type { PasswordQueries } from './queries/password-resets.ts';
import type { Author } from './queries/user-changes.ts';
import type { Passwords } from './password-hashing.ts';
import { hashOfSecret, isSecret } from './secrets.ts';
import type { Allowances } from '../../platform/redis/allowances.ts';
import { AppError, ForbiddenError, RateLimitedError, UnauthenticatedError } from '../../domain/errors.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import type { LimitPolicy } from '../../domain/rate-limit.ts';
import type { LoginThrottle } from './login-throttle.ts';
import type { Revocations } from './revocations.ts';

/** Who asks, always with an address. */
type Caller = Author & { readonly address: string };

export interface PasswordChangeRequest {
  readonly userId: string;
  readonly currentPassword: string;
  readonly password: string;
  readonly by: Caller;
}

export interface ResetRequest {
  /** In lower case. */
  readonly email: string;
  readonly by: Caller;
}

export interface ResetRedemption {
  readonly token: string;
  readonly password: string;
  readonly by: Caller;
}

/** All reject with {@link UnavailableError} when Postgres does not answer or too many passwords wait to be hashed. */
export interface PasswordDesk {
  /**
   * Changes a password and ends every session of the account, the caller's too; API keys stay.
   * @throws {ForbiddenError} the current password is wrong (code `password_wrong`).
   * @throws {RateLimitedError} too many wrong passwords.
   */
  change(request: PasswordChangeRequest): Promise<void>;
  /**
   * Has a token mailed if there is an account with this e-mail. Does and says the same if there is none.
   * @throws {AppError} 501, code `mail_not_configured`.
   * @throws {RateLimitedError} too many requests from this address.
   */
  requestReset(request: ResetRequest): Promise<void>;
  /**
   * Sets the password of the account that the token is for, and ends every session of it; API keys stay.
   * @throws {UnauthenticatedError} the token is unknown, used or expired (code `reset_invalid`).
   */
  reset(redemption: ResetRedemption): Promise<void>;
}

export interface PasswordDeskDeps {
  readonly queries: Pick<PasswordQueries, 'findHash' | 'change' | 'isLive' | 'redeem'>;
  readonly passwords: Pick<Passwords, 'hash' | 'matches'>;
  readonly revocations: Pick<Revocations, 'announce'>;
  readonly throttle: Pick<LoginThrottle, 'begin'>;
  readonly allowances: Pick<Allowances, 'take'>;
  /** Absent: there is no mail server. */
  readonly requestMail?:
    | ((mail: {
        readonly email: string;
        readonly address: string | undefined;
        readonly requestId: string | undefined;
      }) => Promise<void>)
    | undefined;
}

const hourSeconds = 3_600;
const perAddress: LimitPolicy = { name: 'reset-address', limit: 5, windowSeconds: hourSeconds };
const perAccount: LimitPolicy = { name: 'reset-account', limit: 3, windowSeconds: hourSeconds };

/** Builds the {@link PasswordDesk}. */
export function createPasswordDesk(deps: PasswordDeskDeps): PasswordDesk {
  const { queries, passwords, revocations, throttle } = deps;

  return {
    async change({ userId, currentPassword, password, by }) {
      const found = await queries.findHash(userId);
      if (found === undefined) throw new UnauthenticatedError();
      const attempt = await throttle.begin({ account: found.email, address: by.address });
      if (!(await passwords.matches(currentPassword, found.passwordHash, by.address))) throw wrong();
      await attempt.succeeded();
      const passwordHash = await passwords.hash(password, by.address);
      const ended = await queries.change({ userId, oldHash: found.passwordHash, passwordHash, by });
      // Somebody else has changed it since it was compared: it is not the current password any more.
      if (ended === undefined) throw wrong();
      await revocations.announce(ended);
    },

    requestReset: (request) => requestReset(deps, request),

    async reset({ token, password, by }) {
      const hash = isSecret('reset', token) ? hashOfSecret(token) : undefined;
      // Asked beforehand too, so that a made-up token costs us no work.
      if (hash === undefined || !(await queries.isLive(hash))) throw invalid();
      const passwordHash = await passwords.hash(password, by.address);
      const redeemed = await queries.redeem({ hash, passwordHash, by });
      if (redeemed === undefined) throw invalid();
      await revocations.announce(redeemed.revocations);
    },
  };
}

async function requestReset(
  { requestMail, allowances }: PasswordDeskDeps,
  { email, by }: ResetRequest,
): Promise<void> {
  if (requestMail === undefined)
    throw new AppError('This server sends no mail: ask its operator for a reset token', {
      code: 'mail_not_configured',
      status: 501,
    });
  await allowances.take(perAddress, limitSubjectOf(by.address));
  try {
    await allowances.take(perAccount, createHash('sha256').update(email).digest('base64url'));
  } catch (error) {
    // A refusal would tell whoever watches that somebody else has asked.
    if (error instanceof RateLimitedError) return;
    throw error;
  }
  await requestMail({ email, address: by.address, requestId: by.requestId });
}

function wrong(): ForbiddenError {
  return new ForbiddenError('The current password is wrong', 'password_wrong');
}

function invalid(): UnauthenticatedError {
  return new UnauthenticatedError(
    'The reset token is not valid: it is unknown, used or expired',
    'reset_invalid',
  );
}
