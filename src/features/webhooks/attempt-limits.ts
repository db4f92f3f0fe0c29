/**
 * Keeps one receiver, or one user with many receivers, from using all attempts of this process: only some of them run
 * at once. When all slots are taken, an attempt is postponed by a time that depends on how many already wait and how
 * long attempts take; no attempt waits while it holds a slot.
 */
import { LRUCache } from 'lru-cache';

/** A turn; must be left exactly once. */
export interface AttemptSlot {
  /** @param tookMs how long the receiver took; absent if it was not called. */
  leave(tookMs?: number): void;
}

interface Owner {
  readonly most: number;
  active: number;
  /** Attempts that were postponed and have not returned, as far as is known. */
  away: number;
  /** How long (ms) receivers took lately. */
  tookMs: number;
  /** When the newest attempt started. */
  enteredAt: number;
}

/** Hosts and users that are remembered; a forgotten one has as many turns as a new one. */
const maxOwners = 10_000;
/** Assumed duration (ms) for hosts of which nothing is known yet. */
const assumedMs = 20;
const shortestMs = 100;
const longestMs = 30_000;
/** A turn held for longer than this (ms) is held by a slow host. */
const busyMs = 2_000;
/** Weight of the newest attempt in the average duration. */
const newest = 0.3;
/**
 * An attempt that returns too early is postponed again, which is cheap; one that returns too late leaves turns unused.
 */
const optimism = 0.5;

/**
 * Builds the turns of a process.
 * @param rules.perHost attempts at one host at once.
 * @param rules.perUser attempts of one user at once.
 * @param rules.now milliseconds of any origin.
 */
export function createAttemptSlots({
  perHost,
  perUser,
  now,
}: {
  readonly perHost: number;
  readonly perUser: number;
  readonly now: () => number;
}) {
  const owners = new LRUCache<string, Owner>({ max: maxOwners });
  const known = (name: string, most: number): Owner => {
    const owner = owners.get(name) ?? { most, active: 0, away: 0, tookMs: assumedMs, enteredAt: now() };
    owners.set(name, owner);
    return owner;
  };
  return {
    /**
     * Takes a turn of the host and one of the user, or returns after how long (ms) to try again.
     * @param isBack whether this attempt was postponed before.
     */
    enter(
      { host, user }: { readonly host: string; readonly user: string },
      isBack: boolean,
    ): AttemptSlot | { readonly retryAfterMs: number } {
      const both = [known(`host ${host}`, perHost), known(`user ${user}`, perUser)];
      const full = both.find(({ active, most }) => active >= most);
      if (full !== undefined) return { retryAfterMs: sendAway(full, isBack, now()) };
      // Where another process sent it away, there is none to count.
      if (isBack) for (const owner of both) owner.away = Math.max(0, owner.away - 1);
      const enteredAt = now();
      for (const owner of both) {
        owner.active++;
        owner.enteredAt = enteredAt;
      }
      return {
        leave: (tookMs) => {
          for (const owner of both) {
            owner.active--;
            if (tookMs !== undefined) owner.tookMs += newest * (tookMs - owner.tookMs);
          }
        },
      };
    },
  };
}

function sendAway(owner: Owner, isBack: boolean, now: number): number {
  if (!isBack) owner.away++;
  const turns = Math.ceil(Math.max(owner.away, 1) / owner.most);
  // A host that has become slow shows it before its attempts end; that this process is busy is no such sign.
  const heldMs = now - owner.enteredAt;
  const turnMs = heldMs > busyMs ? Math.max(owner.tookMs, heldMs) : owner.tookMs;
  return Math.min(Math.max(optimism * turns * turnMs, shortestMs), longestMs);
}
