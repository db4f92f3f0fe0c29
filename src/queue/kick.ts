import { urgencies, type Urgency } from '../domain/quote.ts';
import type { Queues } from './queues.ts';

/** Makes sure that demand is worked on. Idempotent and cheap, so everybody who wants something calls it. */
export interface Kick {
  /** At most one refresh waits per currency and urgency; `delayMs` is for when nothing can be had before. */
  quotes(currency: string, urgency: Urgency, delayMs?: number): Promise<void>;
  /** At most one ranking refresh waits or runs per currency. */
  markets(currency: string, delayMs?: number): Promise<void>;
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
    markets: (currency, delayMs = 0) =>
      queues.add(
        'markets.refresh',
        { currency },
        { deduplication: { id: `markets-${currency}` }, priority: 2, delay: delayMs },
      ),
  };
}
