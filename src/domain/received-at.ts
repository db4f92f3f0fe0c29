/** When something was received from a source, according to another process. */

/** Clocks of a fleet differ by much less than this (ms). */
export const aheadMs = 5_000;
/** Older (ms) than any value that counts as fresh. */
const unknownAgeMs = 7 * 86_400_000;

/**
 * The moment (ms since the epoch) that a timestamp counts as. One in the future says nothing about the age of a value:
 * it counts as a week ago, so that the value is stale and the next one replaces it.
 */
export function receivedAtOf(stamp: number, now: number): number {
  return stamp <= now + aheadMs ? stamp : now - unknownAgeMs;
}
