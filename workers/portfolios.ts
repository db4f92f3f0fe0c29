/** The workers of portfolios, wired. A composition root like the main one. */
import { buildBooks } from '../src/portfolios.ts';
import type { WorkerParts } from './parts.ts';
import { createPortfolioProcessors } from './processors/portfolios/module.ts';

/** Keeps derived tables up to date, runs the jobs of clients on portfolios, and looks after both. */
export function portfoliosModule({ config, pipeline, threads, clientRuns }: WorkerParts) {
  const { clock, demand, kick } = pipeline;
  return createPortfolioProcessors(pipeline, {
    books: buildBooks(pipeline),
    clientRuns,
    threads,
    async want({ currency, assetIds, requester }) {
      const urgency = 'backfill';
      const freshAfter = clock.now() - config.QUOTE_FRESH_SECONDS * 1000;
      const { settled } = await demand.want({ currency, assetIds, urgency, freshAfter, requester });
      const underWay = assetIds.length - settled.length;
      if (underWay > 0) await kick.quotes(currency, urgency);
      return underWay;
    },
  });
}
