import type { BudgetState } from '../../domain/budget-state.ts';
import { withDeadline } from '../concurrency/deadline.ts';

/**
 * Seconds after which what could not be had is worth asking for again: soon when it is on its way; when it is the budget that
 * is waited for, it knows; a failing source is given five seconds.
 */
export async function retryAfterSeconds(
  why: 'pending' | 'rate_limited' | 'unavailable',
  budgetStatus: () => Promise<Pick<BudgetState, 'nextGrantInMs' | 'blockedForMs'>>,
): Promise<number> {
  if (why === 'pending') return 1;
  if (why === 'unavailable') return 5;
  try {
    const { nextGrantInMs, blockedForMs } = await withDeadline(budgetStatus(), 500, 'reading the budget');
    return Math.min(60, Math.max(1, Math.ceil(Math.max(nextGrantInMs, blockedForMs) / 1000)));
  } catch {
    return 5;
  }
}
