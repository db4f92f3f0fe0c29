/** When something was received from a source, as another process says. */

/** Clocks of a fleet agree within much less (ms). */
export const aheadMs = 5_000;
/** Older (ms) than anything may be that is called fresh. */
const unknownAgeMs = 7 * 86_400_000;

/**
 * The moment (ms since the epoch) that a stamp counts as. One from the future says nothing of how old a value is: it counts as a
 * week ago, so that it is stale and whatever comes next takes its place.
 */
export function receivedAtOf(stamp: number, now: number): number {
  return stamp <= now + aheadMs ? stamp : now - unknownAgeMs;
}
