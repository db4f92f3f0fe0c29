/**
 * Turns between demand and calls beside it. Batches of demand share what there is among tenants by themselves; a document, a
 * page of a ranking or a stretch of history is a call for one request. When somebody waits for quotes, every other call at most is
 * such a one, so that many of them (each user's are bounded where they are wanted) do not keep a quote from anybody.
 */
import type { Demand } from '../../../src/features/quotes/demand/demand.ts';
import { BudgetWaitError } from '../../../src/features/upstream/provider-errors.ts';
import type { GrantedCall } from '../../../src/features/upstream/request-limiter-contract.ts';

/** Time (ms) after which it is worth asking again. */
const giveWayMs = 300;

/**
 * Makes sure that it is this call's turn; else gives the grant back.
 * @throws {BudgetWaitError} when those who wait for quotes go first.
 */
export async function takeTurn(demand: Pick<Demand, 'mayCallAside'>, grant: GrantedCall): Promise<void> {
  if (await demand.mayCallAside()) return;
  await grant.release();
  throw new BudgetWaitError({ waitMs: giveWayMs, reason: 'crowded' });
}
