import {
  refusalOf,
  toCachedQuote,
  withoutPriceReason,
  type QuoteFailure,
} from '../../../src/domain/cached-quote.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { Quote } from '../../../src/domain/quote.ts';
import type { Requester } from '../../../src/domain/requester.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import { ProviderRejectedError } from '../../../src/features/upstream/provider-errors.ts';
import { ProviderOpenError } from '../../../src/features/upstream/provider-chain.ts';
import type { QuotesResult } from '../../../src/features/upstream/provider.ts';
import type { UpstreamSources } from '../../../src/features/upstream/upstream-service.ts';
import type { NoteRanking } from './assets.ts';

/** What the processors of the `refresh` queue need. */
export interface RefreshDeps
  extends UpstreamSources, Pick<QuoteService, 'guard' | 'demand' | 'store' | 'publisher' | 'freshMs'> {
  readonly rowStore: Pick<QuoteService['rowStore'], 'write'>;
  readonly enqueue: Pick<QuoteService['enqueue'], 'quotes'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly notFoundMs: number;
  /** Which of these assets the source lists. Absent: none. */
  readonly listed?: (assetIds: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Called with the quotes of every response of a provider, for the price history. Never throws, never waits. */
  readonly observe?: (quotes: readonly Quote[]) => void;
  /** Charges a requester with a share (0 to 1) of an upstream call. */
  readonly charge: (who: Requester, share: number) => void;
  /** Called with every ranking, when it is in the cache. Never rejects. */
  readonly noteRanking?: NoteRanking | undefined;
}

/** How long a failing provider is remembered as such (ms): short, so that recovery is noticed soon. */
const unavailableMs = 10_000;
/** How long a refusal (key, plan) is remembered (ms): it will not go away by itself. */
const rejectedMs = 60_000;
/**
 * How long a price that waits for confirmation is remembered as such (ms): short, so that the second observation comes soon.
 */
const doubtedMs = 20_000;
const doubtedReason = 'the price source sent a price far from the last one; it waits for confirmation';

/** The responses of the sources about the assets of a batch. */
export interface QuotesOutcome extends QuotesResult {
  /** Requested from a fallback source, and unknown there; so they may exist. */
  readonly unanswered?: readonly string[];
}

function failuresOf(
  assetIds: readonly string[],
  because: {
    readonly state: QuoteFailure['state'];
    readonly reason: string;
    readonly until: number;
  },
): QuoteFailure[] {
  return assetIds.map((assetId) => ({ assetId, ...because }));
}

/** Assets that the source lists without a price: asked again as soon as a quote would be. */
export function unpricedOf(
  { clock, freshMs }: Pick<RefreshDeps, 'clock' | 'freshMs'>,
  assetIds: readonly string[],
): QuoteFailure[] {
  const until = clock.now() + freshMs;
  return failuresOf(assetIds, { state: 'unpriced', reason: withoutPriceReason, until });
}

/** Stores a response in the cache and announces it to the fleet. The cache comes first, because a tick may be lost. */
export async function storeQuotes(deps: RefreshDeps, currency: string, answer: QuotesOutcome): Promise<void> {
  const now = deps.clock.now();
  const { taken, doubted } = await deps.guard.sort(currency, answer.quotes);
  const quotes = taken.map(toCachedQuote);
  // An asset that is listed exists, even if a response leaves it out.
  const listed = await listedOf(deps, answer.notFound);
  const failures: QuoteFailure[] = [
    ...failuresOf(
      answer.notFound.filter((id) => !listed.has(id)),
      {
        state: 'not_found',
        reason: 'the price source does not know this asset',
        until: now + deps.notFoundMs,
      },
    ),
    ...unpricedOf(deps, [...answer.withoutPrice, ...listed]),
    ...failuresOf(doubted, { state: 'unavailable', reason: doubtedReason, until: now + doubtedMs }),
    ...failuresOf(answer.unanswered ?? [], {
      state: 'unavailable',
      reason: 'the price source does not respond, and the fallback source does not know this asset',
      until: now + unavailableMs,
    }),
  ];
  const rows = answer.rows?.filter(({ assetId }) => !doubted.includes(assetId));
  if (rows !== undefined) await deps.rowStore.write(rows);
  await deps.store.write(currency, quotes);
  await deps.store.writeFailures(currency, failures);
  await deps.publisher.publish({ currency, quotes, failures });
  deps.observe?.(taken);
}

/** While the list of assets cannot be read, no asset is reported as not found. */
async function listedOf(deps: RefreshDeps, assetIds: readonly string[]): Promise<ReadonlySet<string>> {
  if (deps.listed === undefined || assetIds.length === 0) return new Set();
  try {
    return await deps.listed(assetIds);
  } catch (error) {
    deps.log.debug({ reason: messageOf(error) }, 'the list of assets could not be read');
    return new Set(assetIds);
  }
}

/** Remembers that assets could not be fetched, so that waiting requests are answered; good values stay. */
export async function storeFailure(
  deps: RefreshDeps,
  currency: string,
  failed: { assetIds: readonly string[]; error: unknown },
): Promise<void> {
  const rejected = failed.error instanceof ProviderRejectedError;
  // It was logged when its breaker opened that the source is not called.
  const level = failed.error instanceof ProviderOpenError ? 'debug' : rejected ? 'error' : 'warn';
  deps.log[level](
    { currency, assets: failed.assetIds.length, reason: messageOf(failed.error) },
    'the price source returned no quotes',
  );
  const reason = rejected ? refusalOf(messageOf(failed.error)) : 'the price source does not respond';
  const shortMs =
    failed.error instanceof ProviderOpenError
      ? Math.min(failed.error.retryInMs, unavailableMs)
      : unavailableMs;
  const until = deps.clock.now() + (rejected ? rejectedMs : shortMs);
  const failures = failuresOf(failed.assetIds, { state: 'unavailable', reason, until });
  await deps.store.writeFailures(currency, failures);
  await deps.publisher.publish({ currency, quotes: [], failures });
}
