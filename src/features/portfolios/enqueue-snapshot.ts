import type { Queues } from '../../platform/queue/queues.ts';

/** A portfolio has one snapshot of changes in this time (ms), which has all that was changed until then. */
const spacingMs = 60_000;

/** Makes sure that what a portfolio is worth is noted within a minute. At most one such job waits. */
export type KickSnapshot = (portfolioId: string) => Promise<void>;

/** Builds a {@link KickSnapshot}. It rejects when Redis does not take the job; then that snapshot is never taken. */
export function createSnapshotKick(queues: Pick<Queues, 'add'>): KickSnapshot {
  return (portfolioId) =>
    queues.add(
      'portfolio.snapshot',
      { portfolioId },
      { delay: spacingMs, deduplication: { id: `snapshot-${portfolioId}` } },
    );
}
