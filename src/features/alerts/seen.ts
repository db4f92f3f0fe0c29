import type { CachedQuote } from '../../domain/cached-quote.ts';
import { freshness } from '../../domain/cached-quote.ts';
import type { FiringQuote } from './alert.ts';
import type { Observation } from './crossing.ts';
import { levelOf, textOfPrice } from './level.ts';

/** An observation with what is told of it when an alert fires. */
export interface Seen extends Observation {
  /** The value as decimal text. */
  readonly text: string;
  readonly quote: FiringQuote;
  /** Of a change: the price that it is measured from. */
  readonly reference?: { readonly price: string; readonly at: string } | undefined;
}

/** A quote as alerts read it. */
export interface ReadQuote extends FiringQuote {
  /** As its source sent it. */
  readonly price: number;
}

/** Reads a cached quote at `now`; `freshMs` is the age from which it is stale. */
export function readQuote(cached: CachedQuote, now: number, freshMs: number): ReadQuote {
  const head = JSON.parse(`${cached.head}}`) as { price: number; source: string; as_of: string | null };
  return {
    price: head.price,
    asOf: head.as_of,
    receivedAt: cached.receivedAt,
    source: head.source,
    state: freshness(cached, now, freshMs),
  };
}

/** The price of a quote as an observation. */
export function seenPrice({ price, ...quote }: ReadQuote): Seen {
  const text = textOfPrice(price);
  return { value: levelOf(text), text, at: quote.receivedAt, isFresh: quote.state === 'fresh', quote };
}
