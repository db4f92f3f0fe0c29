/**
 * Changes of one portfolio wait for its lock. They would do so holding a connection each, until the pool has none left for
 * anybody else; so they wait here first, before they take one. Another process has turns of its own: Postgres puts the few
 * that come through in order.
 */
import { UnavailableError } from '../../../domain/errors.ts';
import { KeyedTurns } from '../../../platform/concurrency/keyed-mutex.ts';

/**
 * Makes a change of a portfolio when its turn has come.
 * @throws {UnavailableError} (`portfolio_busy`) too many changes of it wait, or this one waited too long.
 */
export type TakeWriteTurn = <T>(portfolioId: string, change: () => Promise<T>) => Promise<T>;

/** One has the lock, and the next one waits for it, so that there is no pause between them. */
const width = 2;
const waiting = 100;
const longestWaitMs = 5_000;
/** Changes of all portfolios at once. */
const most = 2_000;

/** Turns of the portfolios of a process: all of its changes are to take theirs from the same ones. */
export function createWriteTurns(): TakeWriteTurn {
  const refusal = (): Error =>
    new UnavailableError('Too many changes of this portfolio are waiting', {
      code: 'portfolio_busy',
      retryAfterSeconds: 1,
    });
  const turns = new KeyedTurns({ width, waiting, longestWaitMs, most, refusal });
  return (portfolioId, change) => turns.run(portfolioId, change);
}
