/**
 * Keeps one receiver, or one user with many receivers, from holding all attempts of this process: only some of them run at
 * once. When all slots are taken, an attempt is postponed by a time that depends on how many wait already and how long attempts
 * take; nobody waits while holding a slot.
 */
import { LRUCache } from 'lru-cache';

/** A turn; to be left exactly once. */
export interface AttemptSlot {
  /** @param tookMs how long the receiver took; absent when it was not called. */
  leave(tookMs?: number): void;
}

interface Owner {
  readonly most: number;
  active: number;
  /** Who was sent away and has not come back, as far as is known. */
  away: number;
  /** How long receivers took lately (ms). */
  tookMs: number;
  /** When the newest attempt began. */
  enteredAt: number;
}

/** Hosts and users that are remembered; one that is forgotten has as many turns as a new one. */
const maxOwners = 10_000;
/** Until more is known, hosts are taken for fast ones (ms). */
const assumedMs = 20;
const shortestMs = 100;
const longestMs = 30_000;
/** A turn that is held for longer (ms) is held by a slow host. */
const busyMs = 2_000;
/** Weight of the newest attempt in how long they take. */
const newest = 0.3;
/** Who comes too early is sent away again, which is cheap; who comes too late leaves turns unused. */
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
     * Takes a turn of the host and one of the user, or returns after how long (ms) to come again.
     * @param isBack whether this one was sent away before.
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
