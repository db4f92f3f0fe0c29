/**
 * Sessions: logging in, going on and logging out. A session is a family of refresh tokens, each with one successor. For 30 s a token
 * gives its successor again, because an answer may be lost and two tabs may ask at once; one that comes later, or after its successor
 * was used, ends the session: one of its two holders has stolen it. At the login an account that does not exist takes the same way as
 * one that does: the same throttle, the same work, the same answer.
 */
import { LRUCache } from 'lru-cache';
import { messageOf, RateLimitedError, UnauthenticatedError, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Caller } from './accounts.ts';
import type { LoginThrottle } from './login-throttle.ts';
import type { Passwords } from './password-hashing.ts';
import type { Actor, createAuditQueries, NewAuditEvent } from './queries/audit.ts';
import type { createSessionQueries, SessionUser } from './queries/sessions.ts';
import type { UserQueries } from './queries/users.ts';
import type { Revocations } from './revocations.ts';
import { hashOfSecret, isSecret, newSecret, type createSuccession } from './secrets.ts';
import type { Tokens } from './tokens.ts';

/** What a client gets to go on with. */
export interface SessionGrant {
  readonly token: string;
  readonly refreshToken: string;
  /** Life of the access token in seconds. */
  readonly expiresInSeconds: number;
  readonly user: SessionUser;
}

/** Builds what is done with sessions. */
export function createSessions({
  queries,
  users,
  passwords,
  throttle,
  tokens,
  successorsOf,
  revocations,
  audit,
  log,
  refreshExpiresInSeconds,
}: {
  readonly queries: ReturnType<typeof createSessionQueries>;
  readonly users: Pick<UserQueries, 'findByEmail' | 'rehash'>;
  readonly passwords: Pick<Passwords, 'hash' | 'matches' | 'needsRehash'>;
  readonly throttle: LoginThrottle;
  readonly tokens: Tokens;
  /** Refresh tokens that may come after one, the one to make first. */
  readonly successorsOf: ReturnType<typeof createSuccession>;
  readonly revocations: Pick<Revocations, 'announce'>;
  readonly audit: Pick<ReturnType<typeof createAuditQueries>, 'append'>;
  readonly log: Logger;
  readonly refreshExpiresInSeconds: number;
}) {
  const throttled = new LRUCache<string, true>({ max: 10_000, ttl: 60_000 });

  /** The answer does not wait for the log of what was refused, nor fail with it. */
  function note(event: NewAuditEvent): void {
    audit.append(event).catch((error: unknown) => {
      log.warn(
        { type: event.type, reason: messageOf(error) },
        'an entry of the audit log was not stored: Postgres refused it; the request itself was answered',
      );
    });
  }

  function grant(user: SessionUser, sessionId: string, refreshToken: string): SessionGrant {
    const { id: userId, role, generation } = user;
    const token = tokens.issue({ userId, role, generation, sessionId });
    return { token, refreshToken, expiresInSeconds: tokens.expiresInSeconds, user };
  }

  return {
    /**
     * Opens a session for an e-mail (lower case) and its password.
     * @throws {UnauthenticatedError} e-mail or password is wrong; the error does not say which.
     * @throws {RateLimitedError} too many attempts.
     * @throws {UnavailableError} too many logins are waiting, or Postgres does not answer.
     */
    async login({
      email,
      password,
      by,
    }: {
      readonly email: string;
      readonly password: string;
      readonly by: Caller;
    }): Promise<SessionGrant> {
      const { address } = by;
      const attempt = await throttle.begin({ account: email, address }).catch((error: unknown) => {
        // Once a minute per address, so that repeated attempts do not flood the log.
        if (error instanceof RateLimitedError && !throttled.has(address)) {
          throttled.set(address, true);
          note({ type: 'login.throttled', by });
        }
        throw error;
      });
      const caller = { from: address, isKnown: attempt.isKnown };
      const user = await users.findByEmail(email);
      // Compared even when there is no account, so that the time taken does not tell which e-mails have one.
      const matches = await passwords.matches(password, user?.passwordHash, caller);
      if (user === undefined || !matches) {
        note({ type: 'login.failed', userId: user?.id, by });
        throw loginFailed();
      }
      const refreshToken = newSecret('refresh');
      const opened = await queries.open({
        userId: user.id,
        generation: user.generation,
        refreshHash: hashOfSecret(refreshToken),
        expiresInSeconds: refreshExpiresInSeconds,
        by: { ...by, actorId: user.id },
      });
      // The account was changed or deleted meanwhile.
      if (opened === undefined) throw loginFailed();
      await revocations.announce(opened.revocations);
      await attempt.succeeded();
      if (passwords.needsRehash(user.passwordHash))
        passwords
          .hash(password, caller)
          .then((hash) => users.rehash(user.id, user.passwordHash, hash))
          .catch((error: unknown) => {
            log.warn(
              { user: user.id, reason: messageOf(error) },
              'the stored password hash of a user was not upgraded to the current parameters; the next login tries again',
            );
          });
      return grant(user, opened.id, refreshToken);
    },

    /**
     * Trades a refresh token for a new access token and its successor.
     * @throws {UnauthenticatedError} it is not known, has expired, or was used more than 30 s ago or before its successor was (code
     * `refresh_reused`).
     * @throws {UnavailableError} it was used within these 30 s in a process that has another secret (code `refresh_elsewhere`), or
     * Postgres does not answer.
     */
    async refresh(refreshToken: string, by: Actor): Promise<SessionGrant> {
      if (!isSecret('refresh', refreshToken)) throw invalid();
      const successors = successorsOf(refreshToken);
      const outcome = await queries.rotate({
        hash: hashOfSecret(refreshToken),
        nextHash: hashOfSecret(successors[0]),
        expiresInSeconds: refreshExpiresInSeconds,
        by,
      });
      if (outcome.kind === 'rotated') return grant(outcome.user, outcome.sessionId, successors[0]);
      if (outcome.kind === 'repeated') {
        const successor = successors.find((each) => hashOfSecret(each).equals(outcome.successorHash));
        if (successor !== undefined) return grant(outcome.user, outcome.sessionId, successor);
        throw new UnavailableError(
          'The refresh token was used a moment ago by another server process; try again',
          {
            code: 'refresh_elsewhere',
          },
        );
      }
      if (outcome.kind === 'unknown') throw invalid();
      await revocations.announce(outcome.revocations);
      throw new UnauthenticatedError('The refresh token was used before; log in again', 'refresh_reused');
    },

    /** Ends one session. */
    async end(session: { readonly id: string; readonly userId: string; readonly by: Actor }): Promise<void> {
      await revocations.announce(await queries.end(session));
    },

    /** Ends all sessions of a user. */
    async endAll(user: { readonly userId: string; readonly by: Actor }): Promise<void> {
      await revocations.announce(await queries.endAll(user));
    },
  };
}

function loginFailed(): UnauthenticatedError {
  return new UnauthenticatedError('E-mail or password is wrong', 'login_failed');
}

function invalid(): UnauthenticatedError {
  return new UnauthenticatedError('The refresh token is not valid', 'refresh_invalid');
}
