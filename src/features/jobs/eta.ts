/** Time (s) that one call takes from grant to cache, rounded up. */
const callSeconds = 1;

/**
 * Seconds until `wantedAssets` have been fetched, if nobody more urgent comes: the calls that the budget allows at once take a
 * second together, the others follow at the budget's rate.
 */
export function etaSeconds(
  wantedAssets: number,
  idsPerCall: number,
  budget: {
    /** Calls allowed in 60 seconds. */
    readonly limit: number;
    /** Calls that could be made at once. */
    readonly available: number;
    /** Milliseconds until the next call is allowed; 0 when one is allowed now. */
    readonly nextGrantInMs: number;
    /** The month's pace; null or absent without one. */
    readonly month?: { readonly affordablePerHour: number } | null;
  },
): number {
  const calls = Math.max(1, Math.ceil(wantedAssets / idsPerCall));
  const callsThatWait = Math.max(0, calls - budget.available);
  if (callsThatWait === 0) return callSeconds;
  const perMinute = Math.min(budget.limit, (budget.month?.affordablePerHour ?? Infinity) / 60);
  const waitSeconds = budget.nextGrantInMs / 1000 + ((callsThatWait - 1) * 60) / perMinute;
  return Math.ceil(waitSeconds) + callSeconds;
}
