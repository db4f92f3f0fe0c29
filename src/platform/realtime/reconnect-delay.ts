import type { EndReason } from './stream-registry.ts';

/** Whether a client should come back after an end, and when (ms). Those that are absent should not, or not by themselves. */
const returns: Readonly<
  Partial<Record<EndReason | 'limit', { readonly least: number; readonly spread: number }>>
> = {
  // Spread, so that the other processes are not hit at once.
  drain: { least: 200, spread: 2_000 },
  expired: { least: 200, spread: 2_000 },
  fault: { least: 1_000, spread: 4_000 },
  limit: { least: 5_000, spread: 10_000 },
};

/** Milliseconds after which a client should come back, another number each time; undefined when it should not. */
export function comebackMs(reason: EndReason | 'limit'): number | undefined {
  const plan = returns[reason];
  return plan === undefined ? undefined : plan.least + Math.floor(Math.random() * plan.spread);
}

/** Longest age (ms) of a stream, so that nobody lives for ever on a credential of yesterday. */
export const longestStreamMs = 12 * 3_600_000;
