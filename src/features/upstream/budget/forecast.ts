import type { BudgetState } from '../../../domain/budget-state.ts';

/**
 * The age (s) of quotes that the budget can sustain, if every affordable call renews wanted assets in turn: the calls of one
 * round divided by the calls of an hour. Null when nothing is wanted or nothing is known.
 * @param callsPerCycle upstream calls that renew all assets once
 */
export function freshnessAffordable(
  { ready, spare, month }: Pick<BudgetState, 'ready' | 'spare' | 'month'>,
  callsPerCycle: number,
): number | null {
  if (!ready || callsPerCycle <= 0) return null;
  const perHour = Math.min(spare.perMinute * 60, month?.affordablePerHour ?? Infinity);
  return perHour > 0 ? Math.ceil((callsPerCycle * 3600) / perHour) : null;
}
