/**
 * Access tokens and stream tickets: JWTs signed with HS256 and nothing else. Keys are prepared once, because a secret given as
 * a string is turned into a key at every verification, which costs more than the rest of a request. The `kid` of a token says
 * which of the two live secrets signed it, and is only ever looked up among those two. A token that was verified is remembered
 * until it expires, so that a client pays for the signature once per process; whether it was revoked is asked elsewhere, at
 * every request.
 */
import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { validate as isUuid } from 'uuid';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { UnauthenticatedError } from '../../domain/errors.ts';
import type { Principal, Role } from '../../domain/principal.ts';
import { scopes as knownScopes, type Scope } from '../../domain/scopes.ts';
import type { Config } from '../../platform/config/load-config.ts';
import type { CredentialLife } from './queries/revocations.ts';

const algorithm = 'HS256';
const issuer = 'pricepool';
const rememberedTokens = 10_000;
/** A longer text is no token of ours: it is refused before any work is spent on it. */
const longestToken = 2_048;
/** Clocks of the fleet may differ by this much (s). */
const clockSkewSeconds = 5;

/** What a token is good for: requests, or the streams of clients that cannot send headers. */
export type TokenUse = 'access' | 'stream';

/** An API key that was revoked may be remembered for this long (s) by a process that has not heard of it. */
const keyMemorySeconds = 60;

/** How long revocations must be kept under this configuration: as long as the longest-lived thing that they end. */
export function credentialLifeOf(
  config: Pick<Config, 'JWT_EXPIRES_IN' | 'STREAM_TICKET_EXPIRES_IN'>,
): CredentialLife {
  const longest = Math.max(config.JWT_EXPIRES_IN, config.STREAM_TICKET_EXPIRES_IN, keyMemorySeconds);
  return { revocationSeconds: longest + 2 * clockSkewSeconds };
}

export type Tokens = ReturnType<typeof createTokens>;

interface Verified {
  readonly principal: Principal;
  readonly use: TokenUse;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

interface Key {
  readonly id: string;
  readonly key: KeyObject;
}

/** Builds the tokens of a process. */
export function createTokens({
  secret,
  previousSecret,
  expiresInSeconds,
  ticketExpiresInSeconds,
  clock,
}: {
  /** Signs; at least 32 characters. */
  readonly secret: string;
  /** Signed before: its tokens are still taken. */
  readonly previousSecret?: string | undefined;
  readonly expiresInSeconds: number;
  readonly ticketExpiresInSeconds: number;
  readonly clock: Clock;
}) {
  const current = keyOf(secret);
  const others = previousSecret === undefined ? [] : [keyOf(previousSecret)];
  const sign = signer(current, clock);
  const memory = new VerifiedTokens(verifier([current, ...others], clock), clock);

  return {
    /** Seconds that an issued access token is good for. */
    expiresInSeconds,

    /** Seconds that a ticket is good for. */
    ticketExpiresInSeconds,

    /** A new access token. */
    issue: ({
      userId,
      role,
      generation,
      sessionId,
    }: {
      readonly userId: string;
      readonly role: Role;
      readonly generation: number;
      readonly sessionId: string;
    }): string => sign(userId, { use: 'access', role, gen: generation, sid: sessionId }, expiresInSeconds),

    /** A ticket with which the principal may open streams. */
    issueTicket({ userId, role, generation, sessionId, keyId, scopes }: Principal): string {
      const claims = { use: 'stream', role, gen: generation, sid: sessionId, key: keyId, scopes };
      return sign(userId, claims, ticketExpiresInSeconds);
    },

    /**
     * Who a token speaks for.
     * @throws {UnauthenticatedError} it is not ours, is for another use, speaks for no UUID, was altered or has expired (code
     * `token_expired`).
     */
    verify: (token: string, use: TokenUse): Principal => memory.verify(token, use),
  };
}

/** Tokens that were found good, until they expire. */
class VerifiedTokens {
  readonly #check: (token: string) => Verified;
  readonly #clock: Clock;
  readonly #held = new LRUCache<string, Verified>({ max: rememberedTokens });

  constructor(check: (token: string) => Verified, clock: Clock) {
    this.#check = check;
    this.#clock = clock;
  }

  verify(token: string, use: TokenUse): Principal {
    // Not `get`, which would reorder the whole for a gain that nobody sees: old tokens expire anyway.
    let known = this.#held.peek(token);
    if (known === undefined) {
      known = this.#check(token);
      this.#held.set(token, known);
    }
    if (known.expiresAt <= this.#clock.now()) {
      this.#held.delete(token);
      throw expired();
    }
    if (known.use !== use) throw invalid();
    return known.principal;
  }
}

function signer({ id, key }: Key, clock: Clock): (userId: string, claims: object, seconds: number) => string {
  return (userId, claims, seconds) => {
    const iat = secondsOf(clock);
    // No id of its own: what is revoked are sessions, and every byte is sent with every request.
    const options = { algorithm, issuer, subject: userId, keyid: id } as const;
    return jwt.sign({ ...claims, iat, exp: iat + seconds }, key, options);
  };
}

function verifier(live: readonly Key[], clock: Clock): (token: string) => Verified {
  const keys = new Map(live.map(({ id, key }) => [id, key]));
  return (token) => {
    if (token.length > longestToken) throw invalid();
    const key = keys.get(keyIdOf(token) ?? '');
    if (key === undefined) throw invalid();
    const now = secondsOf(clock);
    const expected: jwt.VerifyOptions = {
      algorithms: [algorithm],
      issuer,
      clockTimestamp: now,
      clockTolerance: clockSkewSeconds,
    };
    try {
      return toVerified(jwt.verify(token, key, expected), now);
    } catch (error) {
      throw error instanceof jwt.TokenExpiredError ? expired() : invalid();
    }
  };
}

function secondsOf(clock: Clock): number {
  return Math.floor(clock.now() / 1000);
}

/** A key is named after its secret, so that processes with the same secrets agree on names. */
function keyOf(secret: string): Key {
  const id = createHash('sha256').update(`pricepool-kid:${secret}`).digest('hex').slice(0, 12);
  return { id, key: createSecretKey(Buffer.from(secret, 'utf8')) };
}

function keyIdOf(token: string): string | undefined {
  try {
    return jwt.decode(token, { complete: true })?.header.kid;
  } catch {
    return undefined;
  }
}

/** Every claim is there and of its kind, or the token is not ours. */
function toVerified(claims: jwt.JwtPayload | string, now: number): Verified {
  if (typeof claims === 'string') throw invalid();
  const { sub, exp, iat } = claims;
  const use: unknown = claims['use'];
  const role: unknown = claims['role'];
  const generation: unknown = claims['gen'];
  if (exp === undefined || !Number.isFinite(iat) || Number(iat) > now + clockSkewSeconds) throw invalid();
  if (use !== 'access' && use !== 'stream') throw invalid();
  if (role !== 'user' && role !== 'admin') throw invalid();
  // Ids of users are UUIDs, and the database takes nothing else for one.
  if (sub === undefined || !isUuid(sub) || !Number.isSafeInteger(generation)) throw invalid();
  const holder = holderOf(claims, use);
  const principal = Object.freeze({ userId: sub, role, generation: generation as number, ...holder });
  return { principal, use, expiresAt: exp * 1000 };
}

/** A token belongs to a session; a ticket to a session or to an API key with its scopes. */
function holderOf(claims: jwt.JwtPayload, use: TokenUse): Pick<Principal, 'sessionId' | 'keyId' | 'scopes'> {
  const sessionId: unknown = claims['sid'];
  const keyId: unknown = claims['key'];
  const given: unknown = claims['scopes'];
  if (isUuid(sessionId) && keyId === undefined && given === undefined)
    return { sessionId: sessionId as string, keyId: undefined, scopes: undefined };
  if (use !== 'stream' || !isUuid(keyId) || !isScopeList(given)) throw invalid();
  return { sessionId: undefined, keyId: keyId as string, scopes: given };
}

function isScopeList(given: unknown): given is Scope[] {
  return Array.isArray(given) && given.every((each) => knownScopes.some((known) => known === each));
}

function invalid(): UnauthenticatedError {
  return new UnauthenticatedError('The access token is not valid', 'token_invalid');
}

function expired(): UnauthenticatedError {
  return new UnauthenticatedError('The access token has expired', 'token_expired');
}
