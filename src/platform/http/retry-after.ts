import type { BudgetState } from '../../domain/budget-state.ts';
import { withDeadline } from '../concurrency/deadline.ts';

/**
 * Seconds after which a retry makes sense: soon when the data is being fetched; when the budget is exhausted, the budget's own
 * estimate; five seconds for a failing source.
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
