/**
 * Access tokens: JWTs signed with HS256 and nothing else. The key is prepared once, because a secret given as a string is
 * turned into a key at every verification, which costs more than the rest of a request. A token that was verified is
 * remembered until it expires, so that a client pays for the signature once per process.
 */
import { createSecretKey, randomUUID } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { validate as isUuid } from 'uuid';
import type { Clock } from '../lib/clock.ts';
import { UnauthenticatedError } from '../lib/errors.ts';
import type { Principal, Role } from './principal.ts';

const algorithm = 'HS256';
const issuer = 'pricepool';
const rememberedTokens = 10_000;
/** A longer text is no token of ours: it is refused before any work is spent on it. */
const longestToken = 2_048;

interface TokenDeps {
  /** At least 32 characters. */
  readonly secret: string;
  readonly expiresInSeconds: number;
  readonly clock: Clock;
}

export interface Tokens {
  /** Seconds that an issued token is good for. */
  readonly expiresInSeconds: number;
  /** A new token for a user. */
  issue(user: { readonly id: string; readonly role: Role }): string;
  /**
   * Who a token speaks for.
   * @throws {UnauthenticatedError} it is not ours, speaks for no UUID, was altered or has expired (code `token_expired`).
   */
  verify(token: string): Principal;
}

interface Verified {
  readonly principal: Principal;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** Builds the {@link Tokens} of a process. */
export function createTokens({ secret, expiresInSeconds, clock }: TokenDeps): Tokens {
  const key = createSecretKey(Buffer.from(secret, 'utf8'));
  const verified = new LRUCache<string, Verified>({ max: rememberedTokens });
  const nowSeconds = (): number => Math.floor(clock.now() / 1000);

  function check(token: string): Verified {
    if (token.length > longestToken) throw invalid();
    let claims: jwt.JwtPayload | string;
    try {
      claims = jwt.verify(token, key, { algorithms: [algorithm], issuer, clockTimestamp: nowSeconds() });
    } catch (error) {
      throw error instanceof jwt.TokenExpiredError ? expired() : invalid();
    }
    return toVerified(claims);
  }

  return {
    expiresInSeconds,
    issue: (user) => {
      const iat = nowSeconds();
      const claims = { role: user.role, iat, exp: iat + expiresInSeconds };
      return jwt.sign(claims, key, { algorithm, issuer, subject: user.id, jwtid: randomUUID() });
    },
    verify: (token) => {
      // Not `get`, which would reorder the whole for a gain that nobody sees: old tokens expire anyway.
      const known = verified.peek(token);
      if (known !== undefined) {
        if (known.expiresAt > clock.now()) return known.principal;
        verified.delete(token);
        throw expired();
      }
      const fresh = check(token);
      verified.set(token, fresh);
      return fresh.principal;
    },
  };
}

function toVerified(claims: jwt.JwtPayload | string): Verified {
  if (typeof claims === 'string') throw invalid();
  const { sub, exp } = claims;
  const role: unknown = claims['role'];
  if (exp === undefined || (role !== 'user' && role !== 'admin')) throw invalid();
  // Ids of users are UUIDs, and the database takes nothing else for one.
  if (sub === undefined || !isUuid(sub)) throw invalid();
  return { principal: Object.freeze({ userId: sub, role }), expiresAt: exp * 1000 };
}

function invalid(): UnauthenticatedError {
  return new UnauthenticatedError('The access token is not valid', 'token_invalid');
}

function expired(): UnauthenticatedError {
  return new UnauthenticatedError('The access token has expired', 'token_expired');
}
