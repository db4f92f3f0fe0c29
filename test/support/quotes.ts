import { toCachedQuote, type CachedQuote } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';

/** A cached quote in US dollars of which nothing but the price matters, and what a test says besides. */
export function priced(
  assetId: string,
  price: number,
  rest: Pick<Quote, 'receivedAt'> & Partial<Quote>,
): CachedQuote {
  return toCachedQuote({
    assetId,
    symbol: null,
    name: null,
    currency: 'usd',
    price,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    source: 'test',
    asOf: null,
    ...rest,
  });
}
