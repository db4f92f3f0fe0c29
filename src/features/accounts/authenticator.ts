/**
 * From a credential to who it speaks for: access tokens, stream tickets and API keys. Signatures and keys are checked once per
 * process and remembered; whether they were revoked since is asked at every request, in memory.
 */
import type { Principal } from '../../domain/principal.ts';
import { isSecret } from './secrets.ts';
import type { Tokens } from './tokens.ts';
import { UnauthenticatedError, UnavailableError } from '../../domain/errors.ts';
import type { KeyRing } from './api-key-cache.ts';
import type { Revocations } from './revocations.ts';

/** What a request brings to say who it is: a token or key from a header, or a stream ticket. */
export interface Credential {
  readonly kind: 'bearer' | 'ticket';
  readonly text: string;
}

export interface Authenticator {
  /**
   * Who a credential speaks for; a promise only when the database must be asked.
   * @throws {UnauthenticatedError} it is not valid, has expired or was revoked.
   * @throws {UnavailableError} it cannot be checked at the moment.
   */
  authenticate(credential: Credential): Principal | Promise<Principal>;
  /** Whether checking the credential asks nobody: a signature, or a key that was found good before. */
  isCheap(credential: Credential): boolean;
  /** Requests a day that a key which was authenticated may make; undefined for any number. */
  dailyQuotaOf(keyId: string): number | undefined;
}

interface AuthenticatorDeps {
  readonly tokens: Tokens;
  readonly keys: KeyRing;
  readonly revocations: Pick<Revocations, 'covers' | 'isKnown'>;
}

/** Builds the {@link Authenticator} of a process. */
export function createAuthenticator({ tokens, keys, revocations }: AuthenticatorDeps): Authenticator {
  function refuseRevoked(principal: Principal): Principal {
    if (revocations.covers(principal))
      throw new UnauthenticatedError('The access token was revoked', 'token_revoked');
    return principal;
  }

  return {
    authenticate({ kind, text }) {
      if (!revocations.isKnown()) {
        throw new UnavailableError('Credentials cannot be checked yet', { code: 'credentials_unchecked' });
      }
      if (kind === 'ticket') return refuseRevoked(tokens.verify(text, 'stream'));
      if (isSecret('key', text)) return keys.find(text);
      return refuseRevoked(tokens.verify(text, 'access'));
    },
    isCheap: ({ text }) => !isSecret('key', text) || keys.knows(text),
    dailyQuotaOf: (keyId) => keys.dailyQuotaOf(keyId),
  };
}
