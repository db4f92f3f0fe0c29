import { toCachedQuote, type QuoteFailure } from '../../src/domain/cached-quote.ts';
import type { QuoteStore } from '../../src/cache/quote-store.ts';
import type { Demand } from '../../src/demand/demand.ts';
import type { TickPublisher } from '../../src/events/ticks.ts';
import type { Requester } from '../../src/domain/requester.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { messageOf } from '../../src/lib/errors.ts';
import type { Logger } from '../../src/lib/logger.ts';
import { ProviderRejectedError } from '../../src/providers/errors.ts';
import type { PriceProvider, QuotesResult } from '../../src/providers/provider.ts';
import type { UpstreamGate } from '../../src/providers/upstream-gate.ts';
import type { Kick } from '../../src/queue/kick.ts';

/** What the processors of the `refresh` queue stand on. */
export interface RefreshDeps {
  readonly provider: PriceProvider;
  readonly gate: UpstreamGate;
  readonly demand: Demand;
  readonly store: QuoteStore;
  readonly publisher: TickPublisher;
  readonly kick: Kick;
  readonly clock: Clock;
  readonly log: Logger;
  readonly notFoundMs: number;
  /** Charges somebody with a share (0 to 1) of an upstream call. */
  readonly charge: (who: Requester, share: number) => void;
}

/** How long a failing provider is remembered as such (ms): short, so that recovery is noticed soon. */
const unavailableMs = 10_000;
/** How long a refusal (key, plan) is remembered (ms): it will not heal by itself. */
const rejectedMs = 60_000;
/** How long an asset without a price is remembered as such (ms). */
const withoutPriceMs = 60_000;

/** Puts an answer into the cache and tells the fleet. The cache comes first: a tick may be lost. */
export async function storeAnswer(deps: RefreshDeps, currency: string, answer: QuotesResult): Promise<void> {
  const now = deps.clock.now();
  const quotes = answer.quotes.map(toCachedQuote);
  const failures: QuoteFailure[] = [
    ...answer.notFound.map((assetId) => ({
      assetId,
      state: 'not_found' as const,
      reason: 'the price source does not know this asset',
      until: now + deps.notFoundMs,
    })),
    ...answer.withoutPrice.map((assetId) => ({
      assetId,
      state: 'unavailable' as const,
      reason: 'the price source has no price for this asset',
      until: now + withoutPriceMs,
    })),
  ];
  await deps.store.write(currency, quotes);
  await deps.store.writeFailures(currency, failures);
  await deps.publisher.publish({ currency, quotes, failures });
}

/** Remembers that assets could not be had, so that those who wait are answered; good values stay. */
export async function storeFailure(
  deps: RefreshDeps,
  currency: string,
  failed: { assetIds: readonly string[]; error: unknown },
): Promise<void> {
  const rejected = failed.error instanceof ProviderRejectedError;
  deps.log[rejected ? 'error' : 'warn'](
    { currency, assets: failed.assetIds.length, reason: messageOf(failed.error) },
    'upstream gave no quotes',
  );
  const reason = rejected ? 'the price source refuses our requests' : 'the price source does not answer';
  const until = deps.clock.now() + (rejected ? rejectedMs : unavailableMs);
  const failures = failed.assetIds.map((assetId) => ({
    assetId,
    state: 'unavailable' as const,
    reason,
    until,
  }));
  await deps.store.writeFailures(currency, failures);
  await deps.publisher.publish({ currency, quotes: [], failures });
}
