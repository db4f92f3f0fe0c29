import { urgencies, type Urgency } from '../../domain/quote.ts';
import type { JobData } from '../../../jobs/registry.ts';
import type { Queues } from '../../platform/queue/queues.ts';

export type EnqueueRefresh = ReturnType<typeof createEnqueueRefresh>;

/**
 * Makes sure that jobs serve the demand. Idempotent and cheap, so every caller that requests something calls it. `delayMs`: the
 * budget grants nothing earlier.
 */
export function createEnqueueRefresh(queues: Pick<Queues, 'add'>) {
  return {
    /** At most one refresh waits per currency and urgency. */
    quotes: (currency: string, urgency: Urgency, delayMs = 0): Promise<void> =>
      queues.add(
        'quotes.refresh',
        { currency, urgency },
        {
          deduplication: { id: `quotes-${currency}-${urgency}` },
          priority: urgencies.indexOf(urgency) + 1,
          delay: delayMs,
        },
      ),
    /** At most one refresh of a page (1-based, 250 assets) of the ranking waits or runs per currency, page and urgency. */
    markets: (
      currency: string,
      {
        page = 1,
        urgency = 'interactive',
        delayMs = 0,
      }: { readonly page?: number; readonly urgency?: Urgency; readonly delayMs?: number } = {},
    ): Promise<void> =>
      queues.add(
        'markets.refresh',
        { currency, page, urgency },
        {
          deduplication: { id: `markets-${currency}-${page}-${urgency}` },
          priority: Math.max(2, urgencies.indexOf(urgency) + 1),
          delay: delayMs,
        },
      ),
    /** At most one refresh of a document waits or runs; `id` is its short name. */
    document: (id: string, wanted: JobData<'document.refresh'>): Promise<void> =>
      queues.add('document.refresh', wanted, { deduplication: { id: `document-${id}` }, priority: 2 }),
    /** At most one refresh of the list of assets waits or runs. */
    assets: (): Promise<void> =>
      queues.add('assets.refresh', {}, { deduplication: { id: 'assets' }, priority: urgencies.length + 1 }),
  };
}
