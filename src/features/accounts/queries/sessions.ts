import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { recordEvent, type Actor } from './audit.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { endAllCredentials, storeRevocations, type CredentialLife, type Revocation } from './revocations.ts';
import type { Account } from './users.ts';

/** A user who may have a session. */
export type SessionUser = Pick<Account, 'id' | 'username' | 'email' | 'role' | 'generation'>;

/** Most sessions of one user; a further one replaces the oldest. */
const maxSessions = 50;
/** For this time (s) after its first use, a refresh token returns the same successor again. */
const repeatSeconds = 30;

/**
 * Sessions in Postgres: each is a family of refresh tokens of which only the last is unused. All reject with
 * {@link UnavailableError} when it does not answer.
 */
export function createSessionQueries(knex: Knex, life: CredentialLife) {
  const transact = <T>(work: (trx: Knex.Transaction) => Promise<T>): Promise<T> =>
    orUnavailable(knex.transaction(work));

  return {
    /** Opens a session, ending the oldest beyond the limit; undefined when the credentials were ended meanwhile. */
    open: (session: Parameters<typeof open>[1]) => transact((trx) => open(trx, session, life)),

    /** Trades a refresh token for the next one, and says what became of it. */
    rotate: (rotation: Parameters<typeof rotate>[1]) => transact((trx) => rotate(trx, rotation, life)),

    /** Ends one session. */
    end({ id, userId, by }: { readonly id: string; readonly userId: string; readonly by: Actor }) {
      return transact(async (trx) => {
        if (!(await endSession(trx, id, 'logout'))) return [];
        await recordEvent(trx, { type: 'session.ended', userId, by });
        return await revokeSessions(trx, [id], life);
      });
    },

    /** Ends all sessions of a user. */
    endAll({ userId, by }: { readonly userId: string; readonly by: Actor }) {
      return transact(async (trx) => {
        const ended = await endAllCredentials(
          trx,
          { userId, reason: 'logout_everywhere', keys: false },
          life,
        );
        await recordEvent(trx, { type: 'sessions.ended', userId, by });
        return ended;
      });
    },
  };
}

async function open(
  trx: Knex.Transaction,
  {
    userId,
    generation,
    refreshHash,
    expiresInSeconds,
    by,
  }: {
    readonly userId: string;
    /** The generation of the account whose password was checked: if it has risen since, there is no session. */
    readonly generation: number;
    /** Of the first refresh token. */
    readonly refreshHash: Buffer;
    readonly expiresInSeconds: number;
    readonly by: Actor;
  },
  life: CredentialLife,
): Promise<{ id: string; revocations: readonly Revocation[] } | undefined> {
  // Locked, so that a change of password cannot end "all" sessions while one is being made.
  const user: unknown = await trx('users')
    .where({ id: userId, generation })
    .whereNull('deleted_at')
    .forShare()
    .first('id');
  if (user === undefined) return undefined;
  const id = uuidv7();
  await trx('sessions').insert({ id, user_id: userId, expires_at: expiryAfter(trx, expiresInSeconds) });
  await trx('refresh_tokens').insert({ hash: refreshHash, session_id: id });
  const surplus = await trx('sessions')
    .where({ user_id: userId })
    .whereNull('ended_at')
    .orderBy('id', 'desc')
    .offset(maxSessions)
    .select<{ id: string }[]>('id');
  const ids = surplus.map((each) => each.id);
  for (const each of ids) await endSession(trx, each, 'too_many');
  await recordEvent(trx, { type: 'login.succeeded', userId, by });
  return { id, revocations: await revokeSessions(trx, ids, life) };
}

async function rotate(
  trx: Knex.Transaction,
  {
    hash,
    nextHash,
    expiresInSeconds,
    by,
  }: {
    readonly hash: Buffer;
    /** Of the token that takes its place, unless one has done so already. */
    readonly nextHash: Buffer;
    readonly expiresInSeconds: number;
    readonly by: Actor;
  },
  life: CredentialLife,
): Promise<
  | { readonly kind: 'rotated'; readonly sessionId: string; readonly user: SessionUser }
  /** It was used a moment ago, and the token that took its place was not. */
  | {
      readonly kind: 'repeated';
      readonly sessionId: string;
      readonly user: SessionUser;
      readonly successorHash: Buffer;
    }
  /** It was used before that: the session is ended, because one of its two holders is a thief. */
  | { readonly kind: 'reused'; readonly revocations: readonly Revocation[] }
  | { readonly kind: 'unknown' }
> {
  // The row lock decides between two who bring the same token at once.
  const found = await trx('refresh_tokens')
    .where({ hash })
    .forUpdate()
    .first<{ session_id: string; used_at: Date | null } | undefined>();
  if (found === undefined) return { kind: 'unknown' };
  const { session_id: sessionId } = found;
  const user = await liveUserOf(trx, sessionId);
  if (user === undefined) return { kind: 'unknown' };
  if (found.used_at !== null) {
    const successorHash = await successorOf(trx, sessionId, hash);
    if (successorHash !== undefined) return { kind: 'repeated', sessionId, user, successorHash };
    await endSession(trx, sessionId, 'reuse');
    await recordEvent(trx, { type: 'session.reuse_detected', userId: user.id, by });
    return { kind: 'reused', revocations: await revokeSessions(trx, [sessionId], life) };
  }
  await trx('refresh_tokens').where({ hash }).update({ used_at: trx.fn.now() });
  await trx('refresh_tokens').insert({ hash: nextHash, session_id: sessionId });
  await trx('sessions')
    .where({ id: sessionId })
    .update({ last_used_at: trx.fn.now(), expires_at: expiryAfter(trx, expiresInSeconds) });
  return { kind: 'rotated', sessionId, user };
}

/**
 * Hash of the unused token of a session, if the used token `hash` is the one before it and was used no longer ago than it may be
 * repeated. The session is locked, so that the successor is not being used meanwhile.
 */
async function successorOf(
  trx: Knex.Transaction,
  sessionId: string,
  hash: Buffer,
): Promise<Buffer | undefined> {
  const recent = trx.raw("used_at > now() - ? * interval '1 second' as is_recent", [repeatSeconds]);
  const [last, before] = await trx('refresh_tokens')
    .where({ session_id: sessionId })
    .orderBy('used_at', 'desc', 'first')
    .limit(2)
    .select<{ hash: Buffer; used_at: Date | null; is_recent: boolean | null }[]>('hash', 'used_at', recent);
  const isBefore = before?.hash.equals(hash) === true && before.is_recent === true;
  return isBefore && last?.used_at === null ? last.hash : undefined;
}

/** Whose session it is, unless it or the account has ended. Both stay as they are until the transaction ends. */
async function liveUserOf(trx: Knex.Transaction, sessionId: string): Promise<SessionUser | undefined> {
  return await trx('sessions')
    .join('users', 'users.id', 'sessions.user_id')
    .where('sessions.id', sessionId)
    .whereNull('sessions.ended_at')
    .where('sessions.expires_at', '>', trx.fn.now())
    .whereNull('users.deleted_at')
    .forUpdate('sessions')
    .first<SessionUser>('users.id', 'users.username', 'users.email', 'users.role', 'users.generation');
}

async function endSession(trx: Knex.Transaction, id: string, reason: string): Promise<boolean> {
  const ended = await trx('sessions')
    .where({ id })
    .whereNull('ended_at')
    .update({ ended_at: trx.fn.now(), end_reason: reason });
  return ended > 0;
}

function revokeSessions(
  trx: Knex.Transaction,
  ids: readonly string[],
  life: CredentialLife,
): Promise<readonly Revocation[]> {
  const subjects = ids.map((subject) => ({ kind: 'session', subject, generation: null }) as const);
  return storeRevocations(trx, subjects, life);
}

function expiryAfter(trx: Knex.Transaction, seconds: number): Knex.Raw {
  return trx.raw("now() + ? * interval '1 second'", [seconds]);
}
