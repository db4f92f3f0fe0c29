/**
 * Resolves a credential (access token, stream ticket or API key) to its principal. Signatures and keys are checked once per
 * process and cached; whether they were revoked since is checked at every request, in memory.
 */
import { UnauthenticatedError, UnavailableError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Authenticator } from '../../platform/http/admission.ts';
import type { ApiKeyCache } from './api-key-cache.ts';
import type { Revocations } from './revocations.ts';
import { isSecret } from './secrets.ts';
import type { Tokens } from './tokens.ts';

/** Builds the {@link Authenticator} of a process. */
export function createAuthenticator({
  tokens,
  keys,
  revocations,
}: {
  readonly tokens: Pick<Tokens, 'verify'>;
  readonly keys: Pick<ApiKeyCache, 'find' | 'knows' | 'dailyQuotaOf'>;
  readonly revocations: Pick<Revocations, 'covers' | 'isKnown'>;
}): Authenticator {
  function refuseRevoked(principal: Principal): Principal {
    if (revocations.covers(principal))
      throw new UnauthenticatedError('The access token was revoked', 'token_revoked');
    return principal;
  }

  return {
    authenticate({ kind, text }) {
      if (!revocations.isKnown()) {
        throw new UnavailableError(
          'The server has just started and cannot check credentials yet; try again',
          { code: 'credentials_unchecked' },
        );
      }
      if (kind === 'ticket') return refuseRevoked(tokens.verify(text, 'stream'));
      if (isSecret('key', text)) return keys.find(text);
      return refuseRevoked(tokens.verify(text, 'access'));
    },
    isCheap: ({ text }) => !isSecret('key', text) || keys.knows(text),
    dailyQuotaOf: (keyId) => keys.dailyQuotaOf(keyId),
  };
}
