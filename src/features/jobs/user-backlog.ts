import type { Clock } from '../../platform/concurrency/clock.ts';
import { RateLimitedError } from '../../domain/errors.ts';

/**
 * Bounds the unfinished jobs of each user. The number is read from Postgres at most once a second for a user; submissions of
 * this process in between are added to it when they begin, so that a burst cannot slip through before its first row is
 * stored. What other processes accept within that second is seen in the next one: the bound is exact to that.
 */
export interface UserBacklog {
  /**
   * Makes room for one more job of a user.
   * @returns how to give the room back when no job was stored.
   * @throws {RateLimitedError} the user has as many as allowed.
   */
  take(userId: string): Promise<() => void>;
}

interface BacklogDeps {
  /** Unfinished jobs of a user. */
  readonly count: (userId: string) => Promise<number>;
  readonly clock: Clock;
  /** Unfinished jobs that one user may have. */
  readonly limit: number;
}

interface Known {
  readonly readAt: number;
  readonly read: Promise<void>;
  open: number;
}

const maxAgeMs = 1_000;
/** Users whose number is held; beyond, those that came longest ago are read again. */
const maxUsers = 10_000;
const retryAfterSeconds = 10;

/** Builds a {@link UserBacklog}. */
export function createUserBacklog({ count, clock, limit }: BacklogDeps): UserBacklog {
  const users = new Map<string, Known>();

  function read(userId: string): Known {
    const known: Known = {
      readAt: clock.now(),
      read: count(userId).then((n) => void (known.open += n)),
      open: 0,
    };
    // Whoever waits for it is told; the next one asks again.
    known.read.catch(() => {
      if (users.get(userId) === known) users.delete(userId);
    });
    // Behind all others: a map keeps the order of insertion.
    users.delete(userId);
    users.set(userId, known);
    const [oldest] = users.keys();
    if (users.size > maxUsers && oldest !== undefined) users.delete(oldest);
    return known;
  }

  return {
    async take(userId) {
      let known = users.get(userId);
      if (known === undefined || clock.now() - known.readAt > maxAgeMs) known = read(userId);
      await known.read;
      if (known.open >= limit) {
        throw new RateLimitedError('Too many of your jobs are unfinished', {
          code: 'too_many_open_jobs',
          retryAfterSeconds,
        });
      }
      known.open++;
      return () => {
        known.open--;
      };
    },
  };
}
