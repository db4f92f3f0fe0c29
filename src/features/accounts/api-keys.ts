import { ForbiddenError, NotFoundError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Actor } from './queries/audit.ts';
import type { ApiKey, ApiKeyQueries } from './queries/api-keys.ts';
import type { Revocations } from './revocations.ts';
import { hashOfSecret, newSecret } from './secrets.ts';

/** Characters of a secret that are shown: enough to distinguish keys, too few to help a thief. */
const shownCharacters = 12;

/** Creating, listing and revoking one's API keys. All reject with {@link UnavailableError} when Postgres does not answer. */
export function createApiKeys({
  queries,
  revocations,
}: {
  readonly queries: Pick<ApiKeyQueries, 'insert' | 'list' | 'revoke'>;
  readonly revocations: Pick<Revocations, 'announce'>;
}) {
  return {
    /**
     * Creates a key. Its secret is only in the result.
     * @throws {ForbiddenError} the scope `admin` for a user who is not an admin.
     * @throws {ConflictError} the user has reached the limit of keys.
     */
    async make(
      { userId, role }: Principal,
      request: Pick<ApiKey, 'name' | 'scopes' | 'dailyQuota' | 'expiresAt'>,
      by: Actor,
    ): Promise<ApiKey & { readonly secret: string }> {
      if (request.scopes.includes('admin') && role !== 'admin')
        throw new ForbiddenError('Only admins can give a key the scope admin');
      const secret = newSecret('key');
      const prefix = secret.slice(0, shownCharacters);
      const key = await queries.insert({ ...request, userId, prefix, hash: hashOfSecret(secret), by });
      return { ...key, secret };
    },

    list: ({ userId }: Principal): Promise<readonly ApiKey[]> => queries.list(userId),

    /** @throws {NotFoundError} there is no such key of this user. */
    async revoke({ userId }: Principal, id: string, by: Actor): Promise<void> {
      const revoked = await queries.revoke({ id, userId, by });
      if (revoked === undefined) throw new NotFoundError('API key not found', 'key_not_found');
      await revocations.announce(revoked);
    },
  };
}
