/**
 * API keys in use, by their secret. A key is read from the database when it is first seen and again after a minute; one that
 * was revoked, or whose account has changed, is dropped as soon as the revocation arrives.
 */
import { LRUCache } from 'lru-cache';
import type { ApiKeyQueries, UsableKey } from './queries/api-keys.ts';
import type { Principal } from '../../domain/principal.ts';
import { hashOfSecret } from './secrets.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf, UnauthenticatedError, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Revocations } from './revocations.ts';

export interface ApiKeyCache {
  /**
   * The principal of a key.
   * @throws {UnauthenticatedError} there is no such key, it has expired or was revoked.
   * @throws {UnavailableError} it is not cached and the database does not answer.
   */
  find(secret: string): Principal | Promise<Principal>;
  /** Whether the key was found valid here before, and not found invalid since. */
  knows(secret: string): boolean;
  /** Daily quota of a key in use; undefined for no limit. */
  dailyQuotaOf(keyId: string): number | undefined;
  /** Stores when keys were last used. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

interface KeyRingDeps {
  readonly queries: Pick<ApiKeyQueries, 'findUsable' | 'touch'>;
  readonly revocations: Pick<Revocations, 'covers' | 'onRevoked'>;
  readonly clock: Clock;
  readonly log: Logger;
}

const maxKeys = 10_000;
/** A key is read again after this time (ms), in case a revocation was missed. */
const rememberedMs = 60_000;
/** Most unknown keys that are looked up at the same time; further requests are asked to retry later. */
const maxLookups = 200;
/** The time of last use is written this often (ms). */
const touchMs = 30_000;

/** Builds the {@link ApiKeyCache} of a process. */
export function createApiKeyCache(deps: KeyRingDeps): ApiKeyCache {
  return new HeldKeys(deps);
}

class HeldKeys implements ApiKeyCache {
  readonly #deps: KeyRingDeps;
  readonly #held = new LRUCache<
    string,
    {
      readonly principal: Principal;
      /** Milliseconds since the epoch. */
      readonly expiresAt: number | undefined;
    }
  >({ max: maxKeys, ttl: rememberedMs });
  readonly #quotas = new LRUCache<string, number>({ max: maxKeys });
  /** Keys that were valid at the last lookup. */
  readonly #good = new LRUCache<string, true>({ max: maxKeys });
  readonly #lookups = new Map<string, Promise<Principal>>();
  readonly #used = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  readonly #stopListening: () => void;
  /** Number of revocations received. */
  #revocations = 0;

  constructor(deps: KeyRingDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.flush(), touchMs);
    this.#timer.unref();
    this.#stopListening = deps.revocations.onRevoked(({ kind, subject }) => {
      this.#revocations += 1;
      for (const [secret, { principal }] of this.#held.entries()) {
        if ((kind === 'key' ? principal.keyId : principal.userId) === subject) this.#held.delete(secret);
      }
    });
  }

  find(secret: string): Principal | Promise<Principal> {
    const held = this.#held.get(secret);
    if (held === undefined || this.#deps.revocations.covers(held.principal)) return this.#lookUp(secret);
    if (held.expiresAt !== undefined && held.expiresAt <= this.#deps.clock.now()) throw unknownKey();
    this.#used.add(held.principal.keyId ?? '');
    return held.principal;
  }

  knows(secret: string): boolean {
    return this.#good.has(secret);
  }

  dailyQuotaOf(keyId: string): number | undefined {
    return this.#quotas.get(keyId);
  }

  async flush(): Promise<void> {
    const used = [...this.#used];
    this.#used.clear();
    if (used.length === 0) return;
    try {
      await this.#deps.queries.touch(used);
    } catch (error) {
      this.#deps.log.debug({ reason: messageOf(error) }, 'the last use of API keys was not stored');
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopListening();
    await this.flush();
  }

  /** Concurrent requests with the same key share one lookup. */
  #lookUp(secret: string): Promise<Principal> {
    let lookup = this.#lookups.get(secret);
    if (lookup === undefined) {
      if (this.#lookups.size >= maxLookups) {
        throw new UnavailableError('Too many API keys are being checked at the moment; try again', {
          code: 'keys_busy',
        });
      }
      lookup = this.#ask(secret).finally(() => this.#lookups.delete(secret));
      this.#lookups.set(secret, lookup);
    }
    return lookup;
  }

  async #ask(secret: string): Promise<Principal> {
    const heardBefore = this.#revocations;
    const found = await this.#deps.queries.findUsable(hashOfSecret(secret));
    if (found === undefined) {
      this.#good.delete(secret);
      throw unknownKey();
    }
    this.#good.set(secret, true);
    const principal = principalOf(found);
    // Revoked between the response of the database and now.
    if (this.#deps.revocations.covers(principal)) throw unknownKey();
    // A revocation received meanwhile may be about the former state of this key's owner: the next request looks it up again.
    if (this.#revocations === heardBefore)
      this.#held.set(secret, { principal, expiresAt: found.expiresAt?.getTime() });
    if (found.dailyQuota === null) this.#quotas.delete(found.id);
    else this.#quotas.set(found.id, found.dailyQuota);
    this.#used.add(found.id);
    return principal;
  }
}

/** An admin's key acts as an admin only if it has that scope. */
function principalOf({ id, userId, role, generation, scopes }: UsableKey): Principal {
  const speaksForAdmin = role === 'admin' && scopes.includes('admin');
  return Object.freeze({
    userId,
    role: speaksForAdmin ? 'admin' : 'user',
    generation,
    sessionId: undefined,
    keyId: id,
    scopes,
  });
}

function unknownKey(): UnauthenticatedError {
  return new UnauthenticatedError('The API key is not valid', 'key_invalid');
}
