import { costBasisMethods } from '../src/domain/bookkeeping.ts';
import { z } from 'zod';
import { performanceRanges } from '../src/domain/performance-range.ts';
import { defineJob, keepBriefly } from './contract.ts';
import { assetIdSchema, currencySchema } from './requests.ts';

const retry = {
  attempts: 3,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  ...keepBriefly,
} as const;

/** What every job of a client on a portfolio has. */
const onPortfolio = {
  /** Key under which equal requests share one run, and the rows of all who wait for it are found. */
  workKey: z.string(),
  requester: z.string().max(100).optional(),
  portfolioId: z.uuid(),
  /** Base currency of the portfolio. */
  currency: currencySchema,
};

/**
 * Brings the derived tables of a portfolio (marks, positions, consumptions) up to its transactions. Not a client's job: every
 * change of transactions adds one, deduplicated by the portfolio.
 */
export const booksUpdate = defineJob<null>()({
  name: 'books.update',
  queue: 'books',
  schema: z.object({ portfolioId: z.uuid() }),
  options: { ...retry, attempts: 5 },
});

/** Adds an update for portfolios whose derived tables are behind: after a failed add, or a wiped Redis. */
export const booksCheck = defineJob<{ readonly added: number }>()({
  name: 'books.check',
  queue: 'upkeep',
  every: 5_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});

/** Steps of a rebuild that count as progress: per cent of its assets. */
export const rebuildSteps = 100;

/** Throws the derived tables of a portfolio away and builds them anew from its transactions. */
export const booksRebuild = defineJob<null>()({
  name: 'books.rebuild',
  queue: 'portfolios',
  schema: z.object({ ...onPortfolio, method: z.enum(costBasisMethods) }),
  options: retry,
});

/** Steps of computing performance that count as progress: books, prices, figures, and what they lacked. */
export const performanceSteps = 4;

/** Computes the performance figures of a portfolio over a range. */
export const performanceCompute = defineJob<null>()({
  name: 'performance.compute',
  queue: 'portfolios',
  schema: z.object({
    ...onPortfolio,
    range: z.enum(performanceRanges),
    benchmark: assetIdSchema,
    /** Annual, 0.02 is 2 %. */
    riskFreeRate: z.number().min(-1).max(10),
    /** `books_version` of the portfolio when it was asked for: other transactions are other work. */
    booksVersion: z.string(),
    /** Prices of this moment (ISO 8601, whole minutes): asked for later it is other work. */
    asOf: z.string(),
  }),
  options: retry,
});

/** Reads an uploaded report into the transactions of a portfolio, or shows what reading it would do. */
export const transactionsImport = defineJob<null>()({
  name: 'transactions.import',
  queue: 'portfolios',
  schema: z.object({ ...onPortfolio, importId: z.uuid(), isDryRun: z.boolean() }),
  options: retry,
});
