/**
 * Turns between demand and other calls. Batches of demand are shared fairly among tenants; a document, a page of a ranking or a
 * range of history is a call for one request. While somebody waits for quotes, at most every other call is of that kind, so
 * that many of them (limited per user where they are requested) do not delay quotes.
 */
import type { Demand } from '../../../src/features/quotes/demand/demand.ts';
import { BudgetWaitError } from '../../../src/features/upstream/provider-errors.ts';
import type { GrantedCall } from '../../../src/features/upstream/request-limiter-contract.ts';

/** Time (ms) after which it is worth asking again. */
const giveWayMs = 300;

/**
 * Makes sure that it is this call's turn; otherwise returns the grant.
 * @throws {BudgetWaitError} when those who wait for quotes go first.
 */
export async function takeNonBatchSlot(
  demand: Pick<Demand, 'mayUseNonBatchSlot'>,
  grant: GrantedCall,
): Promise<void> {
  if (await demand.mayUseNonBatchSlot()) return;
  await grant.release();
  throw new BudgetWaitError({ waitMs: giveWayMs, reason: 'crowded' });
}
