import type { JobData, JobResult } from '../../jobs/registry.ts';
import { toCachedQuote } from '../../src/domain/cached-quote.ts';
import { messageOf } from '../../src/lib/errors.ts';
import type { JobContext } from '../runtime/processor.ts';
import { PutBack } from '../runtime/put-back.ts';
import type { RefreshDeps } from './refresh-outcome.ts';
import { callUpstream, waitOf } from './upstream-call.ts';

/** `markets.refresh`: fetches the first page of the ranking by market capitalisation; its quotes serve everybody else too. */
export async function refreshMarkets(
  deps: RefreshDeps,
  { currency }: JobData<'markets.refresh'>,
  context: JobContext,
): Promise<JobResult<'markets.refresh'>> {
  try {
    const { assetIds, quotes: rows } = await callUpstream(
      { gate: deps.gate, urgency: 'interactive', context },
      (grant) =>
        deps.provider.fetchMarkets({
          currency,
          page: 1,
          signal: AbortSignal.any([grant.signal, context.signal]),
        }),
    );
    const quotes = rows.map(toCachedQuote);
    const popular = { assetIds, receivedAt: deps.clock.now() };
    await deps.store.write(currency, quotes);
    await deps.store.writeRanking(currency, popular);
    await deps.publisher.publish({ currency, quotes, failures: [], popular });
    return { assets: quotes.length };
  } catch (error) {
    const waitMs = waitOf(error);
    if (waitMs !== undefined) throw new PutBack('no budget', waitMs);
    deps.log.warn({ currency, reason: messageOf(error) }, 'upstream gave no ranking');
    throw error;
  }
}
