/**
 * Logging in with e-mail and password. An account that does not exist takes the same way as one that does: the same throttle,
 * the same work, the same answer.
 */
import { LRUCache } from 'lru-cache';
import type { Actor, AuditQueries, NewAuditEvent } from './queries/audit.ts';
import type { Account } from './queries/users.ts';
import type { Caller, Passwords } from './password-hashing.ts';
import { messageOf, RateLimitedError, UnauthenticatedError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { LoginThrottle } from './login-throttle.ts';
import type { SessionGrant, Sessions } from './sessions.ts';

export interface LoginRequest {
  /** In lower case. */
  readonly email: string;
  readonly password: string;
  readonly by: Actor & { readonly address: string };
}

/**
 * Opens a session.
 * @throws {UnauthenticatedError} e-mail or password is wrong; which of the two is not said.
 * @throws {RateLimitedError} too many attempts.
 * @throws {UnavailableError} too many are waiting, or Postgres does not answer.
 */
export type Login = (request: LoginRequest) => Promise<SessionGrant>;

interface LoginDeps {
  readonly users: { findByEmail(email: string): Promise<Account | undefined> };
  readonly passwords: Pick<Passwords, 'hash' | 'matches' | 'needsRehash'>;
  /** Stores a new hash of the same password, unless the password has changed meanwhile. */
  readonly rehash: (userId: string, oldHash: string, newHash: string) => Promise<void>;
  readonly throttle: LoginThrottle;
  readonly sessions: Pick<Sessions, 'open'>;
  readonly audit: Pick<AuditQueries, 'append'>;
  readonly log: Logger;
}

/** Builds {@link Login}. */
export function createLogin(deps: LoginDeps): Login {
  const { users, passwords, throttle, sessions, audit, log } = deps;
  const throttled = new LRUCache<string, true>({ max: 10_000, ttl: 60_000 });

  /** The answer does not wait for the log of what was refused, nor fail with it. */
  function note(event: NewAuditEvent): void {
    audit.append(event).catch((error: unknown) => {
      log.warn({ type: event.type, reason: messageOf(error) }, 'an audit event was lost');
    });
  }

  /** Once a minute for each address, so that whoever hammers at the door does not fill the log too. */
  function noteThrottled(by: LoginRequest['by']): void {
    if (throttled.has(by.address)) return;
    throttled.set(by.address, true);
    note({ type: 'login.throttled', by });
  }

  async function renewHash(account: Account, password: string, caller: Caller): Promise<void> {
    try {
      await deps.rehash(account.id, account.passwordHash, await passwords.hash(password, caller));
    } catch (error) {
      log.warn({ user: account.id, reason: messageOf(error) }, 'a password hash was not renewed');
    }
  }

  return async ({ email, password, by }) => {
    const attempt = await throttle.begin({ account: email, address: by.address }).catch((error: unknown) => {
      if (error instanceof RateLimitedError) noteThrottled(by);
      throw error;
    });
    const caller = { from: by.address, isKnown: attempt.isKnown };
    const account = await users.findByEmail(email);
    // Compared even when there is no account, so that the time taken does not tell which e-mails have one.
    const matches = await passwords.matches(password, account?.passwordHash, caller);
    if (account === undefined || !matches) {
      note({ type: 'login.failed', userId: account?.id, by });
      throw new UnauthenticatedError('E-mail or password is wrong', 'login_failed');
    }
    const grant = await sessions.open(account, by);
    await attempt.succeeded();
    if (passwords.needsRehash(account.passwordHash)) void renewHash(account, password, caller);
    return grant;
  };
}
