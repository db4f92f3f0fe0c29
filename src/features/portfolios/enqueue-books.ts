import type { Queues } from '../../platform/queue/queues.ts';

/** Makes sure that a job brings the derived tables of a portfolio up to its transactions. At most one of them waits. */
export type KickBooks = (portfolioId: string) => Promise<void>;

/** Builds a {@link KickBooks}. It rejects when Redis does not take the job; the sweep of upkeep makes up for it. */
export function createBooksKick(queues: Pick<Queues, 'add'>): KickBooks {
  return (portfolioId) =>
    queues.add('books.update', { portfolioId }, { deduplication: { id: `books-${portfolioId}` } });
}
