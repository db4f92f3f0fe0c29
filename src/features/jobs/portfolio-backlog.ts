import { RateLimitedError } from '../../domain/errors.ts';

/**
 * Bounds the unfinished jobs on portfolios of each user, and counts them for his turn. These jobs hold a worker for long, and
 * few are allowed: so they are counted at every submission, and not from memory as all jobs together are (user-backlog.ts),
 * which would take those for open that ended a moment ago. What other processes are just storing is not seen.
 */
export interface PortfolioBacklog {
  /**
   * Makes room for one more job of a user.
   * @throws {RateLimitedError} (`portfolio_backlog_full`) the user has as many as allowed.
   */
  take(userId: string): Promise<PortfolioPlace>;
}

/** Room for one job. */
export interface PortfolioPlace {
  /** The user's unfinished jobs on portfolios before this one. */
  readonly ahead: number;
  /** The job is stored, and counted from now on, or never will be. */
  readonly settle: () => void;
}

interface BacklogDeps {
  /** Stored jobs on portfolios of a user that have not ended. */
  readonly count: (userId: string) => Promise<number>;
  readonly limit: number;
}

const retryAfterSeconds = 10;

/** Builds a {@link PortfolioBacklog}. */
export function createPortfolioBacklog({ count, limit }: BacklogDeps): PortfolioBacklog {
  /** Submissions of this process that are on their way into the database, by user. */
  const storing = new Map<string, number>();

  function settle(userId: string): void {
    const left = (storing.get(userId) ?? 0) - 1;
    if (left > 0) storing.set(userId, left);
    else storing.delete(userId);
  }

  return {
    async take(userId) {
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
      throw new RateLimitedError(`You have ${limit} unfinished jobs on portfolios already`, {
        code: 'portfolio_backlog_full',
        retryAfterSeconds,
      });
    },
  };
}
