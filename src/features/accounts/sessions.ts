/**
 * Sessions: logging in, going on and logging out. A session is a family of refresh tokens, each good for one use. Whoever
 * brings one a second time ends the session: either he or the one before him has stolen it.
 */
import type { Actor } from './queries/audit.ts';
import type { SessionQueries, SessionUser } from './queries/sessions.ts';
import { hashOfSecret, isSecret, newSecret } from './secrets.ts';
import type { Tokens } from './tokens.ts';
import { UnauthenticatedError } from '../../domain/errors.ts';
import type { Revocations } from './revocations.ts';

/** What a client gets to go on with. */
export interface SessionGrant {
  readonly token: string;
  readonly refreshToken: string;
  /** Life of the access token in seconds. */
  readonly expiresInSeconds: number;
  readonly user: SessionUser;
}

export interface Sessions {
  /**
   * Opens a session for a user whose password was checked.
   * @throws {UnauthenticatedError} the account was changed or deleted meanwhile.
   */
  open(user: SessionUser, by: Actor): Promise<SessionGrant>;
  /**
   * Trades a refresh token for new tokens.
   * @throws {UnauthenticatedError} it is not known, has expired or was used before (code `refresh_reused`).
   */
  refresh(refreshToken: string, by: Actor): Promise<SessionGrant>;
  /** Ends one session. */
  end(session: { readonly id: string; readonly userId: string; readonly by: Actor }): Promise<void>;
  /** Ends all sessions of a user. */
  endAll(user: { readonly userId: string; readonly by: Actor }): Promise<void>;
}

interface SessionsDeps {
  readonly queries: SessionQueries;
  readonly tokens: Tokens;
  readonly revocations: Pick<Revocations, 'announce'>;
  readonly refreshExpiresInSeconds: number;
}

/** Builds {@link Sessions}. */
export function createSessions({
  queries,
  tokens,
  revocations,
  refreshExpiresInSeconds,
}: SessionsDeps): Sessions {
  function grant(user: SessionUser, sessionId: string, refreshToken: string): SessionGrant {
    const { id: userId, role, generation } = user;
    const token = tokens.issue({ userId, role, generation, sessionId });
    return { token, refreshToken, expiresInSeconds: tokens.expiresInSeconds, user };
  }

  return {
    async open(user, by) {
      const refreshToken = newSecret('refresh');
      const opened = await queries.open({
        userId: user.id,
        generation: user.generation,
        refreshHash: hashOfSecret(refreshToken),
        expiresInSeconds: refreshExpiresInSeconds,
        by: { ...by, actorId: user.id },
      });
      if (opened === undefined) throw new UnauthenticatedError('E-mail or password is wrong', 'login_failed');
      await revocations.announce(opened.revocations);
      return grant(user, opened.id, refreshToken);
    },

    async refresh(refreshToken, by) {
      if (!isSecret('refresh', refreshToken)) throw invalid();
      const next = newSecret('refresh');
      const outcome = await queries.rotate({
        hash: hashOfSecret(refreshToken),
        nextHash: hashOfSecret(next),
        expiresInSeconds: refreshExpiresInSeconds,
        by,
      });
      if (outcome.kind === 'rotated') return grant(outcome.user, outcome.sessionId, next);
      if (outcome.kind === 'unknown') throw invalid();
      await revocations.announce(outcome.revocations);
      throw new UnauthenticatedError('The refresh token was used before; log in again', 'refresh_reused');
    },

    end: async (session) => revocations.announce(await queries.end(session)),
    endAll: async (user) => revocations.announce(await queries.endAll(user)),
  };
}

function invalid(): UnauthenticatedError {
  return new UnauthenticatedError('The refresh token is not valid', 'refresh_invalid');
}
