/**
 * Which credentials are void although they have not expired. Every process holds them all in memory, so that a request asks
 * nobody. They reach a process in two ways: pushed over Redis within milliseconds, and read from Postgres every second, which
 * needs no Redis. A revocation is committed in Postgres before it counts, so while Postgres is away there are none to miss.
 */
import type { Revocation } from './queries/revocations.ts';
import type { Principal } from '../../domain/principal.ts';
import type { RevocationChannel } from './revocation-channel.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';

export interface Revocations {
  /** Whether this credential was ended. */
  covers(principal: Principal): boolean;
  /** Whether the revocations are known; until then no credential may be believed. */
  isKnown(): boolean;
  /** Settles when they are known, or after `ms` when they are not. */
  whenKnown(ms: number): Promise<void>;
  /** Makes revocations that are committed count, here at once and in the fleet as soon as it hears. */
  announce(revocations: readonly Revocation[]): Promise<void>;
  /** Calls `listener` for each revocation that is news to this process. Returns how to stop. */
  onRevoked(listener: (revocation: Revocation) => void): () => void;
  close(): void;
}

interface RevocationsDeps {
  readonly queries: { recent(seconds?: number): Promise<readonly Revocation[]> };
  readonly channel: RevocationChannel;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Time (ms) between two looks into Postgres. */
const pollIntervalMs = 1_000;
/** A look reaches back this much (s) further than the last that succeeded: transactions commit late, 10 s at most. */
const overlapSeconds = 15;

/** Begins to collect revocations. */
export function createRevocations(deps: RevocationsDeps): Revocations {
  return new HeldRevocations(deps);
}

class HeldRevocations implements Revocations {
  readonly #deps: RevocationsDeps;
  /** Ids of sessions and keys, and until when (ms since the epoch) they matter. */
  readonly #ended = new Map<string, number>();
  /** Users: lowest generation that is good. */
  readonly #generations = new Map<string, { readonly least: number; readonly until: number }>();
  readonly #listeners = new Set<(revocation: Revocation) => void>();
  #polledAt: number | undefined;
  #known: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #failing = false;
  #closed = false;

  constructor(deps: RevocationsDeps) {
    this.#deps = deps;
    deps.channel.listen((revocations) => revocations.forEach((each) => this.#apply(each)));
    void this.#poll();
  }

  covers({ userId, role, generation, sessionId, keyId }: Principal): boolean {
    if (sessionId !== undefined && this.#ended.has(sessionId)) return true;
    if (keyId !== undefined) {
      if (this.#ended.has(keyId)) return true;
      // A key outlives the sessions of its owner, but speaks for an admin only while he is one.
      if (role === 'user') return false;
    }
    const held = this.#generations.get(userId);
    return held !== undefined && generation < held.least;
  }

  isKnown(): boolean {
    return this.#polledAt !== undefined;
  }

  async whenKnown(ms: number): Promise<void> {
    if (this.isKnown()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#known.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async announce(revocations: readonly Revocation[]): Promise<void> {
    if (revocations.length === 0) return;
    for (const each of revocations) this.#apply(each);
    try {
      await this.#deps.channel.publish(revocations);
    } catch (error) {
      // The others read it from Postgres within a second.
      this.#deps.log.warn(
        { reason: messageOf(error) },
        'a logout or key revocation could not be published in Redis; other processes read it from Postgres within about a second',
      );
    }
  }

  onRevoked(listener: (revocation: Revocation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #apply(revocation: Revocation): void {
    const { kind, subject, generation, expiresAt } = revocation;
    if (kind === 'user') {
      const least = generation ?? Number.MAX_SAFE_INTEGER;
      if ((this.#generations.get(subject)?.least ?? -1) >= least) return;
      this.#generations.set(subject, { least, until: expiresAt });
    } else {
      if (this.#ended.has(subject)) return;
      this.#ended.set(subject, expiresAt);
    }
    for (const listener of this.#listeners) listener(revocation);
  }

  async #poll(): Promise<void> {
    const startedAt = this.#deps.clock.now();
    try {
      const last = this.#polledAt;
      const seconds = last === undefined ? undefined : (startedAt - last) / 1000 + overlapSeconds;
      for (const each of await this.#deps.queries.recent(seconds)) this.#apply(each);
      this.#polledAt = startedAt;
      this.#failing = false;
      for (const resolve of this.#known.splice(0)) resolve();
      this.#forget(startedAt);
    } catch (error) {
      if (!this.#failing)
        this.#deps.log.warn(
          { reason: messageOf(error) },
          'revoked logins and keys cannot be read from Postgres; until they can, one that was just revoked may still work in this process (check Postgres)',
        );
      this.#failing = true;
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.#poll(), pollIntervalMs);
    this.#timer?.unref();
  }

  #forget(now: number): void {
    for (const [id, until] of this.#ended) if (until < now) this.#ended.delete(id);
    for (const [id, { until }] of this.#generations) if (until < now) this.#generations.delete(id);
  }
}
