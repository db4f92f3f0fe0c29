import type { Knex } from 'knex';
import { UnauthenticatedError } from '../src/domain/errors.ts';

/**
 * What a credential says about its user. It was checked when the request arrived. A change that outlives the credential
 * (of an account, a role or a key) checks it again inside its transaction, because a process may receive a revocation
 * up to two seconds late.
 */
export interface Claim {
  readonly userId: string;
  readonly role: 'user' | 'admin';
  readonly generation: number;
  readonly sessionId: string | undefined;
  readonly keyId: string | undefined;
}

/**
 * Confirms a claim, and locks the account's row until the transaction ends. The operator at a shell has no claim to
 * confirm.
 * @throws {UnauthenticatedError} the credential was revoked, or the account is not what the claim says.
 */
export async function confirmClaim(trx: Knex, claim: Claim | undefined): Promise<void> {
  if (claim === undefined) return;
  const { userId, role, generation, sessionId, keyId } = claim;
  // A key outlives a change of password, so only a session's generation is compared.
  const asClaimed = {
    id: userId,
    ...(role === 'admin' ? { role } : {}),
    ...(sessionId === undefined ? {} : { generation }),
  };
  const user: unknown = await trx('users')
    .where(asClaimed)
    .whereNull('deleted_at')
    .forNoKeyUpdate()
    .first('id');
  const isLive =
    user !== undefined &&
    (await isOpen(
      trx('sessions')
        .where({ id: sessionId ?? null })
        .whereNull('ended_at'),
      sessionId,
    )) &&
    (await isOpen(
      trx('api_keys')
        .where({ id: keyId ?? null })
        .whereNull('revoked_at'),
      keyId,
    ));
  if (!isLive) throw new UnauthenticatedError('The access token was revoked', 'token_revoked');
}

async function isOpen(query: Knex.QueryBuilder, id: string | undefined): Promise<boolean> {
  if (id === undefined) return true;
  const row: unknown = await query.forShare().first('id');
  return row !== undefined;
}
