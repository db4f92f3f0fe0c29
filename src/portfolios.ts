import { createBooksService, type BooksService } from './features/portfolios/books-service.ts';
import { createPortfolioService, type PortfolioService } from './features/portfolios/portfolio-service.ts';
import type { AppDeps } from './app-deps.ts';
import type { Pipeline } from './pipeline.ts';
import type { Platform } from './platform/platform.ts';

/** What portfolios stand on, in API and worker processes. */
export function buildBooks(pipeline: Platform & Pick<Pipeline, 'history' | 'quotes'>): BooksService {
  const { history, quotes } = pipeline;
  return createBooksService(pipeline, {
    store: quotes.store,
    past: {
      dailyCloses: (asked) => history.candles.dailyCloses(asked),
      closesBefore: history.closesBefore,
      askForCloses: history.askForCloses,
    },
  });
}

/** Portfolios of the API process, wired. */
export function buildPortfolios({
  pipeline,
  assets,
  market,
}: {
  readonly pipeline: Pipeline;
  readonly assets: AppDeps['assets'];
  readonly market: AppDeps['market'];
}): PortfolioService {
  return createPortfolioService(pipeline, buildBooks(pipeline), {
    assets,
    quotes: (asked) => market.getMany(asked),
  });
}
