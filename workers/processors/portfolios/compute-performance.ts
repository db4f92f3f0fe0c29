/**
 * Computes the performance of a portfolio for a client. Reads everything from Postgres and the cache again, so that the job may
 * run twice; the result states which version of the books it is from.
 */
import type { CandleQueries } from '../../../src/features/history/queries/candles.ts';
import type { ReadDailyBooks } from '../../../src/features/portfolios/queries/daily-books.ts';
import type { PortfolioQueries } from '../../../src/features/portfolios/queries/portfolios.ts';
import { performanceSteps, type JobData } from '../../../jobs/registry.ts';
import { dayMs } from '../../../src/features/history/chart.ts';
import type { createRequestCloses, LackingCloses } from '../../../src/features/history/request-closes.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';
import {
  cashOf,
  readRangeBooks,
  readRangePrices,
  tablesOf,
  type PerformanceQuestion,
  type RangeBooks,
  type ReadQuotes,
} from '../../../src/features/portfolios/performance/performance-tables.ts';
import type { Processor } from '../../runtime/processor.ts';
import type { createPerformanceStats } from '../../threads/performance.ts';
import { runForClients, type ClientRunDeps, type RunControl } from '../jobs/client-run.ts';

/** What computing performance needs. */
export interface PerformanceDeps {
  readonly portfolios: Pick<PortfolioQueries, 'find'>;
  readonly readBooks: ReadDailyBooks;
  readonly closes: CandleQueries['dailyCloses'];
  readonly quotes: ReadQuotes;
  readonly figures: ReturnType<typeof createPerformanceStats>;
  /** Requests past prices that are missing permanently. */
  readonly requestCloses: ReturnType<typeof createRequestCloses>;
}

type Job = JobData<'performance.compute'>;

/** Computes the performance figures of a portfolio. */
export function createPerformanceCompute(
  runDeps: ClientRunDeps,
  deps: PerformanceDeps,
): Processor<'performance.compute'> {
  return (data, context) => {
    const run = { workKey: data.workKey, total: performanceSteps };
    return runForClients(runDeps, { run, context }, (control) => compute(deps, data, control));
  };
}

/** Checks before each step that somebody still waits. */
async function compute(deps: PerformanceDeps, job: Job, { signal, progress }: RunControl): Promise<string> {
  const question = await questionOf(deps, job);
  const books = await readRangeBooks(deps.readBooks, question);
  signal.throwIfAborted();
  progress.reached(1);
  const prices = await readRangePrices(deps, question, books);
  signal.throwIfAborted();
  progress.reached(2);
  const computed = await deps.figures.run(tablesOf(question, books, prices));
  signal.throwIfAborted();
  progress.reached(3);
  const requested = await deps.requestCloses(wantedOf(job, books, computed));
  return resultJson({ job, books, requested }, computed);
}

async function questionOf({ portfolios }: PerformanceDeps, job: Job): Promise<PerformanceQuestion> {
  const portfolio = await portfolios.find(job.portfolioId);
  if (portfolio === undefined) throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
  return { ...job, timeZone: portfolio.timeZone, asOf: Date.parse(job.asOf) };
}

function wantedOf(
  { currency, requester }: Job,
  { assets, firstDay, days }: RangeBooks,
  { missing }: { readonly missing: Uint32Array },
): LackingCloses {
  return {
    currency,
    requester,
    from: firstDay * dayMs,
    to: (firstDay + days) * dayMs - 1,
    lacking: assets.map((assetId, number) => ({ assetId, days: missing[number] ?? 0 })),
  };
}

/** The figures are already text: they are appended to the fields that describe them. */
function resultJson(
  {
    job,
    books,
    requested,
  }: { readonly job: Job; readonly books: RangeBooks; readonly requested: readonly string[] },
  { json }: { readonly json: string },
): string {
  const date = (day: number): string => new Date(day * dayMs).toISOString().slice(0, 10);
  const cash = cashOf(books);
  const head = JSON.stringify({
    portfolio_id: job.portfolioId,
    range: job.range,
    from: date(books.firstDay),
    to: date(books.firstDay + books.days - 1),
    days: books.days,
    currency: job.currency,
    as_of: job.asOf,
    books_version: books.booksVersion,
    benchmark_asset: job.benchmark,
    risk_free_rate: job.riskFreeRate,
    cash_in: cash.in,
    cash_out: cash.out,
    history_asked_for: requested,
  });
  return `${head.slice(0, -1)},${json.slice(1)}`;
}
