import { priceOf, type CachedQuote } from '../../../domain/cached-quote.ts';
import { messageOf } from '../../../domain/errors.ts';
import type { Logger } from '../../../platform/observability/logger.ts';
import type { QuotedPrice, ReadQuotes } from '../performance/performance-tables.ts';

interface QuotedPricesDeps {
  /** The fleet's cache. */
  readonly store: {
    readMany(
      currency: string,
      assetIds: readonly string[],
    ): Promise<readonly { readonly quote: CachedQuote | undefined }[]>;
  };
  readonly log: Logger;
}

/** Quotes of one question to the cache. */
const batchSize = 250;

/** Prices of quotes that are in the cache. Without the cache there are none: statistics then end with the last stored day. */
export function createQuotedPrices({ store, log }: QuotedPricesDeps): ReadQuotes {
  return async (currency, assetIds) => {
    const found: CachedQuote[] = [];
    try {
      for (let begin = 0; begin < assetIds.length; begin += batchSize) {
        const read = await store.readMany(currency, assetIds.slice(begin, begin + batchSize));
        found.push(...read.flatMap(({ quote }) => quote ?? []));
      }
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'the prices of today could not be read from the cache');
    }
    const prices = found.map((quote): [string, QuotedPrice] => [
      quote.assetId,
      { price: priceOf(quote), receivedAt: quote.receivedAt },
    ]);
    return new Map(prices.filter(([, { price }]) => Number.isFinite(price)));
  };
}
