import type { Actor } from './queries/audit.ts';
import type { ApiKey, ApiKeyQueries } from './queries/api-keys.ts';
import type { Principal } from '../../domain/principal.ts';
import { hashOfSecret, newSecret } from './secrets.ts';
import type { Scope } from '../../domain/scopes.ts';
import { ForbiddenError, NotFoundError } from '../../domain/errors.ts';
import type { Revocations } from './revocations.ts';

/** What an API key is made of. */
export interface KeyRequest {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Requests a UTC day; null for any number. */
  readonly dailyQuota: number | null;
  readonly expiresAt: Date | null;
}

/** Making, listing and revoking one's API keys. All reject with {@link UnavailableError} when Postgres does not answer. */
export interface ApiKeyDesk {
  /**
   * Makes a key. Its secret is in the answer and nowhere else.
   * @throws {ForbiddenError} the scope `admin` for somebody who is none.
   * @throws {ConflictError} the user has as many keys as one may have.
   */
  make(viewer: Principal, request: KeyRequest, by: Actor): Promise<ApiKey & { readonly secret: string }>;
  list(viewer: Principal): Promise<readonly ApiKey[]>;
  /** @throws {NotFoundError} there is no such key of this user. */
  revoke(viewer: Principal, id: string, by: Actor): Promise<void>;
}

interface ApiKeyDeskDeps {
  readonly queries: ApiKeyQueries;
  readonly revocations: Pick<Revocations, 'announce'>;
}

/** Characters of a secret that are shown: enough to tell keys apart, too few to help a thief. */
const shownCharacters = 12;

/** Builds the {@link ApiKeyDesk}. */
export function createApiKeyDesk({ queries, revocations }: ApiKeyDeskDeps): ApiKeyDesk {
  return {
    async make({ userId, role }, request, by) {
      if (request.scopes.includes('admin') && role !== 'admin')
        throw new ForbiddenError('Only admins may give a key the scope admin');
      const secret = newSecret('key');
      const prefix = secret.slice(0, shownCharacters);
      const key = await queries.insert({ ...request, userId, prefix, hash: hashOfSecret(secret), by });
      return { ...key, secret };
    },
    list: ({ userId }) => queries.list(userId),
    async revoke({ userId }, id, by) {
      const revoked = await queries.revoke({ id, userId, by });
      if (revoked === undefined) throw new NotFoundError('There is no such API key', 'key_not_found');
      await revocations.announce(revoked);
    },
  };
}
