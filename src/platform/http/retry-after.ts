import { grantInMs, type BudgetState } from '../../domain/budget-state.ts';
import { withDeadline } from '../concurrency/deadline.ts';

/** No longer than this (s): who waits for the credits of a month looks again. */
const longest = 600;

/**
 * Seconds after which what could not be had is worth asking for again: when the budget can have granted the calls that it waits
 * for; a failing source is given five seconds.
 */
export async function retryAfterSeconds(
  why: 'pending' | 'rate_limited' | 'unavailable',
  upstream: {
    readonly budgetState: () => Promise<
      Pick<BudgetState, 'nextGrantInMs' | 'grantsInMs' | 'blockedForMs' | 'spacingMs'>
    >;
    readonly callsAhead: (kind: 'batch' | 'alone') => Promise<number>;
  },
  /** Whether what is waited for comes with the quotes that others wait for, or by a call of its own. */
  kind: 'batch' | 'alone',
): Promise<number> {
  if (why === 'unavailable') return 5;
  try {
    const known = Promise.all([upstream.budgetState(), upstream.callsAhead(kind)]);
    const [budget, calls] = await withDeadline(known, 500, 'reading the budget');
    return Math.min(longest, Math.max(1, Math.ceil(grantInMs(budget, calls) / 1000)));
  } catch {
    return why === 'pending' ? 1 : 5;
  }
}
