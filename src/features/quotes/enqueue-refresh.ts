import { urgencies, type Urgency } from '../../domain/quote.ts';
import type { DataOf } from '../../../jobs/contract.ts';
import type { documentRefresh } from '../../../jobs/documents.ts';
import type { Queues } from '../../platform/queue/queues.ts';

/** Makes sure that demand is worked on. Idempotent and cheap, so everybody who wants something calls it. */
export interface Kick {
  /** At most one refresh waits per currency and urgency; `delayMs` is for when nothing can be had before. */
  quotes(currency: string, urgency: Urgency, delayMs?: number): Promise<void>;
  /** At most one refresh of a page of the ranking waits or runs per currency, page and urgency. */
  markets(currency: string, request?: MarketsKick): Promise<void>;
  /** At most one refresh of a document waits or runs; `id` is its short name. */
  document(id: string, wanted: DataOf<typeof documentRefresh>): Promise<void>;
  /** At most one refresh of the list of assets waits or runs. */
  assets(): Promise<void>;
}

/** Which page of the ranking, and for whom. */
export interface MarketsKick {
  /** 1-based page of 250 assets; the first when absent. */
  readonly page?: number;
  /** `interactive` when absent. */
  readonly urgency?: Urgency;
  /** For when nothing can be had before. */
  readonly delayMs?: number;
}

/** Builds a {@link Kick}. */
export function createKick(queues: Queues): Kick {
  return {
    quotes: (currency, urgency, delayMs = 0) =>
      queues.add(
        'quotes.refresh',
        { currency, urgency },
        {
          deduplication: { id: `quotes-${currency}-${urgency}` },
          priority: urgencies.indexOf(urgency) + 1,
          delay: delayMs,
        },
      ),
    markets: (currency, { page = 1, urgency = 'interactive', delayMs = 0 } = {}) =>
      queues.add(
        'markets.refresh',
        { currency, page, urgency },
        {
          deduplication: { id: `markets-${currency}-${page}-${urgency}` },
          priority: Math.max(2, urgencies.indexOf(urgency) + 1),
          delay: delayMs,
        },
      ),
    document: (id, wanted) =>
      queues.add('document.refresh', wanted, { deduplication: { id: `document-${id}` }, priority: 2 }),
    assets: () =>
      queues.add('assets.refresh', {}, { deduplication: { id: 'assets' }, priority: urgencies.length + 1 }),
  };
}
