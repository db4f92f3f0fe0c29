import type { Demand } from '../../../src/features/quotes/demand/demand.ts';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';

/** When a batch is not full, others get this much time (ms) to join it, and again whenever one does. */
const joinMs = 10;
/** Longest time (ms) that a batch waits for others. */
const longestJoinMs = 200;

/**
 * Waits until a batch is full or nobody joins it any more. A single request waits only a moment; when a crowd starts to arrive,
 * the calls of a minute are not used up for its first few members.
 */
export async function waitForBatch({
  demand,
  currency,
  full,
  signal,
}: {
  readonly demand: Pick<Demand, 'size'>;
  readonly currency: string;
  /** Assets of a full batch. */
  readonly full: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  let size = await demand.size(currency);
  for (let waitedMs = 0; size < full && waitedMs < longestJoinMs; waitedMs += joinMs) {
    await sleep(joinMs, signal);
    const now = await demand.size(currency);
    if (now <= size) return;
    size = now;
  }
}
