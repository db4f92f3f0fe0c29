import type { JobData, JobResult } from '../../../jobs/registry.ts';
import { toCachedQuote } from '../../../src/domain/cached-quote.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { unpricedOf, type RefreshDeps } from './refresh-outcome.ts';
import { takeNonBatchSlot } from './non-batch-slot.ts';
import { callUpstream, waitOf } from './upstream-call.ts';

/** `markets.refresh`: fetches a page of the ranking by market capitalisation; its quotes serve all other requests too. */
export async function refreshMarkets(
  deps: RefreshDeps,
  { currency, page, urgency }: JobData<'markets.refresh'>,
  context: JobContext,
): Promise<JobResult<'markets.refresh'>> {
  try {
    // Only the first source's ranking: that of another source, which lacks assets, must not replace it.
    const request = { limiter: deps.limiter, urgency, context, refusalFails: true };
    const ranking = await callUpstream(request, async (grant) => {
      await takeNonBatchSlot(deps.demand, grant);
      const signal = AbortSignal.any([grant.signal, context.signal]);
      return await deps.provider.fetchMarkets({ currency, page, signal });
    });
    const { assetIds } = ranking;
    const { taken, doubted } = await deps.guard.sort(currency, ranking.quotes);
    const quotes = taken.map(toCachedQuote);
    const popular = { assetIds, receivedAt: deps.clock.now() };
    const rows = ranking.rows?.filter(({ assetId }) => !doubted.includes(assetId));
    if (rows !== undefined) await deps.rowStore.write(rows);
    await deps.store.write(currency, quotes);
    const failures = unpricedOf(deps, ranking.withoutPrice);
    await deps.store.writeFailures(currency, failures);
    await deps.store.writeRanking(currency, popular, page);
    await deps.publisher.publish({ currency, quotes, failures, popular, page });
    // The demand for these assets is met; if another job has leased one, its call fetches it once more.
    await deps.demand.settle(
      currency,
      '',
      [...quotes, ...failures].map(({ assetId }) => assetId),
    );
    deps.observe?.(taken);
    await deps.noteRanking?.({ currency, page, ...ranking });
    return { assets: quotes.length };
  } catch (error) {
    const waitMs = waitOf(error);
    if (waitMs !== undefined) throw new Requeue('no budget', waitMs);
    deps.log.warn(
      { currency, reason: messageOf(error) },
      'the price source did not return a page of the market cap ranking: the stored one stays',
    );
    throw error;
  }
}
