import type { PriceGiven } from '../valuation/valuation.ts';
import type { CachedQuote, QuoteReading } from '../../../domain/cached-quote.ts';

/** A price as it stands in the JSON of a cached quote. */
type Parsed = Omit<PriceGiven, 'state'>;

/** Quotes are shared by everybody who holds the asset, so each is parsed once. */
const parsed = new WeakMap<CachedQuote, Parsed>();

/** The price of a reading; undefined when it is not usable. */
export function priceGiven(reading: QuoteReading | undefined): PriceGiven | undefined {
  const quote = reading?.quote;
  if (reading === undefined || quote === undefined) return undefined;
  const price = parsed.get(quote) ?? parse(quote);
  parsed.set(quote, price);
  return { ...price, state: reading.state === 'fresh' ? 'fresh' : 'stale' };
}

function parse({ head }: CachedQuote): Parsed {
  const fields = JSON.parse(`${head}}`) as {
    readonly price: number;
    readonly as_of: string | null;
    readonly received_at: string;
    readonly source: string;
  };
  return {
    price: fields.price,
    asOf: fields.as_of,
    receivedAt: fields.received_at,
    source: fields.source,
  };
}
