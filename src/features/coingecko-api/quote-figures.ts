import type { CachedQuote } from '../../domain/cached-quote.ts';

/** What a quote tells, out of its JSON. */
export interface QuoteFigures {
  readonly symbol: string | null;
  readonly name: string | null;
  readonly price: number;
  readonly market_cap: number | null;
  readonly rank: number | null;
  readonly change_24h: number | null;
  readonly change_percent_24h: number | null;
  readonly volume_24h: number | null;
  readonly as_of: string | null;
}

const parsed = new WeakMap<CachedQuote, QuoteFigures>();

/** The figures of a quote, read once however often it is asked for. */
export function figuresOf(quote: CachedQuote): QuoteFigures {
  let figures = parsed.get(quote);
  if (figures === undefined) {
    figures = JSON.parse(`${quote.head}}`) as QuoteFigures;
    parsed.set(quote, figures);
  }
  return figures;
}

/** When the source saw it, or if it does not say, when we received it; unix seconds. */
export function updatedAt(quote: CachedQuote): number {
  const seen = Date.parse(figuresOf(quote).as_of ?? '');
  return Math.floor((Number.isNaN(seen) ? quote.receivedAt : seen) / 1000);
}
