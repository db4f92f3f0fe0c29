/**
 * Keeps prices that are too far from the last one out of the cache until they are confirmed (deviation.ts). Unconfirmed prices
 * are in Redis, because the second observation may arrive at another worker. The guard makes no calls itself: clients that want
 * the asset soon cause another fetch, and that is the second observation.
 */
import type { Redis } from 'ioredis';
import type { CachedQuote } from '../../domain/cached-quote.ts';
import { judgeDeviation, type ObservedPrice } from './deviation.ts';
import type { Quote } from '../../domain/quote.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { RedisKeys } from '../../platform/redis/keys.ts';
import { priceOf } from '../../domain/cached-quote.ts';
import type { QuoteStore } from './quote-store.ts';

export interface DeviationGuard {
  /** Sorts the quotes of one currency. Never rejects: a price that cannot be checked is accepted. */
  sort(
    currency: string,
    quotes: readonly Quote[],
  ): Promise<{
    readonly taken: readonly Quote[];
    /** Assets whose new price waits for confirmation. */
    readonly doubted: readonly string[];
  }>;
}

/** A value that is not confirmed is dropped after this time (s). */
const waitingSeconds = 3_600;

/** Lets everything pass. */
export const noGuard: DeviationGuard = {
  sort: (_currency, quotes) => Promise.resolve({ taken: quotes, doubted: [] }),
};

/** Builds the fleet's {@link DeviationGuard}. */
export function createDeviationGuard({
  redis,
  keys,
  store,
  log,
}: {
  readonly redis: Redis;
  readonly keys: RedisKeys;
  readonly store: Pick<QuoteStore, 'readMany'>;
  readonly log: Logger;
}): DeviationGuard {
  const keyOf = (currency: string, assetId: string): string => `${keys.suspects}${currency}:${assetId}`;

  async function judge(currency: string, quotes: readonly Quote[]): ReturnType<DeviationGuard['sort']> {
    const stored = await store.readMany(
      currency,
      quotes.map(({ assetId }) => assetId),
    );
    const lasts = stored.map(({ quote }) => (quote === undefined ? undefined : observedOf(quote)));
    const isNear = quotes.map((quote, index) => verdictOf(quote, lasts[index], undefined) === 'taken');
    const far = quotes.filter((_, index) => isNear[index] === false);
    // The usual case, which costs one read.
    if (far.length === 0) return { taken: quotes, doubted: [] };
    const waiting = await redis.mget(far.map(({ assetId }) => keyOf(currency, assetId)));
    const doubted = new Set<string>();
    const pipeline = redis.pipeline();
    for (const [index, quote] of far.entries()) {
      const { assetId, price, source } = quote;
      const last = lasts[quotes.indexOf(quote)];
      const verdict = verdictOf(quote, last, parseWaiting(waiting[index]));
      pipeline.hincrby(keys.guarded, verdict, 1);
      log.warn(
        { currency, assetId, source, price, last: last?.price, verdict },
        verdict === 'doubted'
          ? 'a price is implausibly far from the last one: not used until a second observation confirms it'
          : 'a price far from the last one was confirmed by a second observation: now used',
      );
      if (verdict !== 'doubted') {
        pipeline.del(keyOf(currency, assetId));
        continue;
      }
      doubted.add(assetId);
      // The first of several equal observations is kept, so that a later one can confirm it.
      if (!isSame(parseWaiting(waiting[index]), quote))
        pipeline.set(keyOf(currency, assetId), waitingText(quote), 'EX', waitingSeconds);
    }
    await pipeline.exec();
    return { taken: quotes.filter(({ assetId }) => !doubted.has(assetId)), doubted: [...doubted] };
  }

  return {
    async sort(currency, quotes) {
      if (quotes.length === 0) return { taken: [], doubted: [] };
      try {
        return await judge(currency, quotes);
      } catch (error) {
        log.warn(
          { currency, reason: messageOf(error) },
          'new prices could not be compared with the last ones (is Redis down?): used without the plausibility check',
        );
        return { taken: quotes, doubted: [] };
      }
    },
  };
}

function verdictOf(
  quote: Quote,
  last: ObservedPrice | undefined,
  waiting: ObservedPrice | undefined,
): ReturnType<typeof judgeDeviation> {
  return judgeDeviation(observationOf(quote), { last, waiting });
}

function observationOf({ price, asOf, receivedAt, source }: Quote): ObservedPrice {
  return { price, observedAt: asOf === null ? null : Date.parse(asOf), receivedAt, source };
}

function observedOf(quote: CachedQuote): ObservedPrice | undefined {
  const { source, as_of: asOf } = JSON.parse(`${quote.head}}`) as { source: string; as_of: string | null };
  const price = priceOf(quote);
  const observedAt = asOf === null ? null : Date.parse(asOf);
  return Number.isFinite(price) ? { price, observedAt, receivedAt: quote.receivedAt, source } : undefined;
}

function isSame(waiting: ObservedPrice | undefined, quote: Quote): boolean {
  return waiting?.price === quote.price && waiting.source === quote.source;
}

function waitingText(quote: Quote): string {
  const { price, observedAt, receivedAt, source } = observationOf(quote);
  return [price, observedAt ?? '', receivedAt, source].join('|');
}

function parseWaiting(text: string | null | undefined): ObservedPrice | undefined {
  if (text === null || text === undefined) return undefined;
  const [price, observedAt = '', receivedAt, source = ''] = text.split('|');
  return {
    price: Number(price),
    observedAt: observedAt === '' ? null : Number(observedAt),
    receivedAt: Number(receivedAt),
    source,
  };
}
