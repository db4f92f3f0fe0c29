import type { Clock } from '../../platform/concurrency/clock.ts';
import { RateLimitedError } from '../../domain/errors.ts';

const maxAgeMs = 1_000;
/** Most users whose number is cached; beyond it, those cached longest ago are read again. */
const maxUsers = 10_000;
const retryAfterSeconds = 10;

/**
 * Limits the unfinished jobs of each user. The number is read from Postgres at most once a second per user; submissions of this
 * process in between are added as soon as they start, so that a burst cannot slip through before its first row is stored. What
 * other processes accept within that second is seen in the next one: the limit is exact to that.
 */
export function createUserBacklog({
  count,
  clock,
  limit,
}: {
  /** Unfinished jobs of a user. */
  readonly count: (userId: string) => Promise<number>;
  readonly clock: Clock;
  /** Unfinished jobs that one user may have. */
  readonly limit: number;
}) {
  const users = new Map<string, { readonly readAt: number; readonly read: Promise<void>; open: number }>();

  function read(userId: string) {
    const known = {
      readAt: clock.now(),
      read: Promise.resolve(),
      open: 0,
    };
    known.read = count(userId).then((n) => void (known.open += n));
    // The waiting caller gets the error; the next one asks again.
    known.read.catch(() => {
      if (users.get(userId) === known) users.delete(userId);
    });
    // Moves the user to the end: a map keeps the order of insertion.
    users.delete(userId);
    users.set(userId, known);
    const [oldest] = users.keys();
    if (users.size > maxUsers && oldest !== undefined) users.delete(oldest);
    return known;
  }

  return {
    /**
     * Reserves room for one more job of a user.
     * @returns a function that releases it when no job was stored.
     * @throws {RateLimitedError} the user has as many as allowed.
     */
    async take(userId: string): Promise<() => void> {
      let known = users.get(userId);
      if (known === undefined || clock.now() - known.readAt > maxAgeMs) known = read(userId);
      await known.read;
      if (known.open >= limit) {
        throw new RateLimitedError('You have too many unfinished jobs', {
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

/**
 * Limits the unfinished jobs on portfolios of each user, and counts them for the user's turn. These jobs hold a worker for
 * long, and few are allowed: so they are counted at every submission, and not from memory as all jobs together are ({@link
 * createUserBacklog}), which would count jobs that ended a moment ago. Jobs that other processes are just storing are not seen.
 */
export function createPortfolioBacklog({
  count,
  limit,
}: {
  /** Stored jobs on portfolios of a user that have not ended. */
  readonly count: (userId: string) => Promise<number>;
  readonly limit: number;
}) {
  /** Submissions of this process that are being stored, by user. */
  const storing = new Map<string, number>();

  function settle(userId: string): void {
    const left = (storing.get(userId) ?? 0) - 1;
    if (left > 0) storing.set(userId, left);
    else storing.delete(userId);
  }

  return {
    /**
     * Reserves room for one more job of a user. Returns how many the user had before it, and a function to call when the job is
     * stored (and counted from then on) or never will be.
     * @throws {RateLimitedError} (`portfolio_backlog_full`) the user has as many as allowed.
     */
    async take(userId: string): Promise<{ readonly ahead: number; readonly settle: () => void }> {
      const before = storing.get(userId) ?? 0;
      storing.set(userId, before + 1);
      try {
        const ahead = before + (await count(userId));
        if (ahead < limit) return { ahead, settle: () => settle(userId) };
      } catch (error) {
        settle(userId);
        throw error;
      }
      settle(userId);
      throw new RateLimitedError(`You already have ${limit} unfinished jobs on portfolios`, {
        code: 'portfolio_backlog_full',
        retryAfterSeconds,
      });
    },
  };
}
