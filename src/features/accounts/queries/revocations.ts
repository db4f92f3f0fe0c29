import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/** States that credentials are no longer valid although they have not expired. */
export interface Revocation {
  readonly kind: 'session' | 'user' | 'key';
  /** Id of the session, user or key. */
  readonly subject: string;
  /** For a user: credentials of earlier generations are no longer valid. Null for the others. */
  readonly generation: number | null;
  /** Milliseconds since the epoch; from then on no credential is left that it could end. */
  readonly expiresAt: number;
}

/**
 * The longest lifetime (s) of credentials that a revocation ends: access tokens and stream tickets. API keys live longer, but a
 * revoked key is looked up in the database again after a minute.
 */
export interface CredentialLife {
  readonly revocationSeconds: number;
}

/**
 * Stores revocations in the transaction of their cause; they are kept for the longest lifetime of what they end. The caller
 * must publish them after the commit.
 */
export async function storeRevocations(
  trx: Knex,
  subjects: readonly Pick<Revocation, 'kind' | 'subject' | 'generation'>[],
  { revocationSeconds }: CredentialLife,
): Promise<readonly Revocation[]> {
  if (subjects.length === 0) return [];
  // By the clock of Postgres, which also decides which of them are over.
  const until = trx.raw("now() + ? * interval '1 second'", [revocationSeconds]);
  const [stored] = await trx('revocations')
    .insert(subjects.map((each) => ({ ...each, expires_at: until })))
    .returning<{ expires_at: Date }[]>('expires_at');
  const expiresAt = stored?.expires_at.getTime() ?? 0;
  return subjects.map((each) => ({ ...each, expiresAt }));
}

/**
 * Ends every session of an account, in the transaction of the cause: refresh tokens are invalid at once, access tokens as soon
 * as the returned revocations are published, which the caller must do after the commit. `reason` is stored in the ended
 * sessions; `keys` ends the API keys too.
 */
export async function endAllCredentials(
  trx: Knex,
  { userId, reason, keys }: { readonly userId: string; readonly reason: string; readonly keys: boolean },
  life: CredentialLife,
): Promise<readonly Revocation[]> {
  const [user] = await trx('users')
    .where({ id: userId })
    .increment('generation', 1)
    .update({ updated_at: trx.fn.now() })
    .returning<{ generation: number }[]>('generation');
  if (user === undefined) return [];
  await trx('sessions')
    .where({ user_id: userId })
    .whereNull('ended_at')
    .update({ ended_at: trx.fn.now(), end_reason: reason });
  const revokedKeys = keys
    ? await trx('api_keys')
        .where({ user_id: userId })
        .whereNull('revoked_at')
        .update({ revoked_at: trx.fn.now() })
        .returning<{ id: string }[]>('id')
    : [];
  const ofUser = { kind: 'user', subject: userId, generation: user.generation } as const;
  const ofKeys = revokedKeys.map(({ id }) => ({ kind: 'key', subject: id, generation: null }) as const);
  return await storeRevocations(trx, [ofUser, ...ofKeys], life);
}

/** Queries on revocations over one pool. */
export function createRevocationQueries(knex: Knex) {
  return {
    /**
     * Revocations that were stored in the last `seconds`, or all that still matter.
     * @throws {UnavailableError} Postgres does not answer.
     */
    async recent(seconds?: number): Promise<readonly Revocation[]> {
      const query = knex('revocations').where('expires_at', '>', knex.fn.now());
      if (seconds !== undefined)
        void query.where('created_at', '>', knex.raw("clock_timestamp() - ? * interval '1 second'", seconds));
      const rows = await orUnavailable(
        query.select<(Omit<Revocation, 'expiresAt'> & { readonly expires_at: Date })[]>(),
      );
      return rows.map(({ kind, subject, generation, expires_at }) => ({
        kind,
        subject,
        generation,
        expiresAt: expires_at.getTime(),
      }));
    },
  };
}
