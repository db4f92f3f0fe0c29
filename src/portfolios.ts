import { createBooksService, type BooksService } from './features/portfolios/books-service.ts';
import { createPortfolioService, type PortfolioService } from './features/portfolios/portfolio-service.ts';
import type { AppDeps } from './app-deps.ts';
import type { Pipeline } from './pipeline.ts';

/** What portfolios stand on, in API and worker processes. */
export function buildBooks(pipeline: Pipeline): BooksService {
  const { history, store } = pipeline;
  return createBooksService(pipeline, {
    store,
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
    quotes: (asked) => market.quotes(asked),
  });
}
