import type { Knex } from 'knex';
import { storeRevocations, type Revocation } from './revocations.ts';

/**
 * The longest life (s) of what a revocation ends: access tokens and stream tickets. API keys live on, but a revoked key is
 * looked up in the database again after a minute.
 */
export interface CredentialLife {
  readonly revocationSeconds: number;
}

/** What ends with the sessions of an account. */
export interface EndAll extends CredentialLife {
  readonly userId: string;
  /** Stands in the ended sessions. */
  readonly reason: string;
  /** End the API keys too. */
  readonly keys: boolean;
}

/**
 * Ends every session of an account, in the transaction of what caused it: refresh tokens are void at once, access tokens as
 * soon as the returned revocations are announced, which is the caller's duty after the commit.
 */
export async function endAllCredentials(
  trx: Knex,
  { userId, reason, keys, revocationSeconds }: EndAll,
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
  return await storeRevocations(trx, [ofUser, ...ofKeys], revocationSeconds);
}
