import type { BudgetState } from '../../../domain/budget-state.ts';

/** Largest share of the calls of a minute that keeps quotes fresh (the rest is left to users). */
const warmingShare = 0.9;

/**
 * The age (s) of quotes that the budget can sustain, if every affordable call renews wanted assets in turn: the calls of one
 * round divided by the calls of an hour. Null when nothing is wanted or nothing is known.
 * @param callsPerTurn upstream calls that renew all assets once
 */
export function freshnessAffordable(
  { ready, limit, month }: Pick<BudgetState, 'ready' | 'limit' | 'month'>,
  callsPerTurn: number,
): number | null {
  if (!ready || callsPerTurn <= 0) return null;
  const byMinute = limit * 60 * warmingShare;
  const perHour = Math.min(byMinute, month?.affordablePerHour ?? Infinity);
  return perHour > 0 ? Math.ceil((callsPerTurn * 3600) / perHour) : null;
}
