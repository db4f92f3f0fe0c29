import type { BudgetState } from '../../../domain/budget-state.ts';

/** Share of the calls of a minute that goes to keeping quotes fresh at best (the rest is left to users). */
const warmingShare = 0.9;

/**
 * How old (s) quotes grow if every call that can be afforded renews what is wanted, in turns: the calls of one turn over the
 * calls of an hour. Null when nothing is wanted or nothing is known.
 * @param callsPerTurn upstream calls that renew all of it once
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
