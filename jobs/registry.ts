/** Contracts of all jobs as values: the queue of each job, the form of its data, and how it is retried. No code that runs. */
import type { JobsOptions } from 'bullmq';
import { z } from 'zod';
import { assetIdForm } from '../src/domain/asset-id.ts';
import { costBasisMethods } from '../src/domain/bookkeeping.ts';
import { granularities } from '../src/domain/history.ts';
import { performanceRanges } from '../src/domain/performance-range.ts';
import { urgencies } from '../src/domain/quote.ts';

/** Queues of the fleet. A worker process serves those that `WORKER_QUEUES` names. All jobs of `maintenance` are periodic. */
export const queueNames = [
  'requests',
  'refresh',
  'maintenance',
  'mail',
  'books',
  'portfolios',
  'webhooks',
] as const;
export type QueueName = (typeof queueNames)[number];
/** What `maintenance` was called in earlier versions. */
export const formerMaintenanceQueue = 'upkeep';

declare const resultType: unique symbol;

/** A job as a value: its name, its queue, the form of its data and how it is retried. */
interface JobContract<N extends string, Q extends QueueName, D, R> {
  /** `<entity>.<verb>` */
  readonly name: N;
  readonly queue: Q;
  readonly schema: z.ZodType<D>;
  readonly options: JobsOptions;
  /** A periodic job repeats at this interval (ms), with empty data. */
  readonly every?: number;
  /** Carries the result's type; there is no value. */
  readonly [resultType]?: R;
}

/** Declares a job. The result type is given as a type parameter of the returned function: `defineJob<R>()({...})`. */
function defineJob<R>() {
  return <const N extends string, const Q extends QueueName, D>(contract: {
    readonly name: N;
    readonly queue: Q;
    readonly schema: z.ZodType<D>;
    readonly options: JobsOptions;
    readonly every?: number;
  }): JobContract<N, Q, D, R> => contract;
}

/** What BullMQ keeps of ended jobs: states and results are in Postgres, so only a short trace for operators. */
const keepBriefly = {
  removeOnComplete: { age: 600, count: 1000 },
  removeOnFail: { age: 3600, count: 5000 },
} as const;

/** Most distinct assets in one request. */
export const maxAssetsPerRequest = 250;
/** Most rows of holdings in one request; several rows may name the same asset. */
export const maxHoldingsPerRequest = 10_000;

/** An asset id as the price source writes it. */
export const assetIdSchema = z.string().regex(assetIdForm, {
  error: ({ input }) =>
    typeof input === 'string' && input.includes(',')
      ? `is not an asset id: "${input.slice(0, 100)}" has a comma; give each id separately`
      : 'is not an asset id (1 to 100 characters without comma and slash, such as bitcoin)',
});

/** A quote currency such as `usd`. */
const currencySchema = z
  .string()
  .trim()
  .toLowerCase()
  .regex(/^[a-z]{2,8}$/, 'is not a currency code');

const retryOfRequest = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  ...keepBriefly,
} as const;

/** Key under which equal requests share one run, and by which the rows of all waiting clients are found. */
const workKey = z.string();

/** Who is charged for the upstream calls (src/domain/requester.ts): the first one who asked. Not part of the work itself. */
const requester = z.string().max(100).optional();

/** Times in milliseconds since the epoch. */
const moment = z.number().int().min(0).max(4_102_444_800_000);

const retryOnPortfolio = {
  attempts: 3,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  ...keepBriefly,
} as const;

/** Fields of every client job on a portfolio. */
const onPortfolio = {
  workKey,
  requester,
  portfolioId: z.uuid(),
  /** Base currency of the portfolio. */
  currency: currencySchema,
};

/** Steps of a rebuild that count as progress: per cent of its assets. */
export const rebuildSteps = 100;

/** Steps of computing performance that count as progress: books, prices, figures, and missing prices. */
export const performanceSteps = 4;

/** A periodic job that deletes everything past its retention. */
const retention = <const N extends string>(name: N, every = 600_000) =>
  defineJob<{ readonly deleted: number }>()({
    name,
    queue: 'maintenance',
    every,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  });

/** All retentions, each a job of its own, so that none waits for another or fails with it. */
export const retentions = {
  'jobs.purge': retention('jobs.purge'),
  'calls.purge': retention('calls.purge'),
  'sessions.purge': retention('sessions.purge'),
  'users.purge': retention('users.purge'),
  'keys.purge': retention('keys.purge'),
  'audit.purge': retention('audit.purge'),
  'usage.purge': retention('usage.purge'),
  'deliveries.purge': retention('deliveries.purge'),
  'portfolios.purge': retention('portfolios.purge'),
  'changes.purge': retention('changes.purge'),
  'imports.purge': retention('imports.purge'),
  'snapshots.purge': retention('snapshots.purge'),
  'candles.purge': retention('candles.purge', 60_000),
  'asks.purge': retention('asks.purge'),
} as const;

export type RetentionName = keyof typeof retentions;

/** All jobs, by name. */
export const registry = {
  /** Fetches the quotes of some assets for a client. */
  'bulk.fetch': defineJob<null>()({
    name: 'bulk.fetch',
    queue: 'requests',
    schema: z.object({
      workKey,
      requester,
      currency: currencySchema,
      assets: z.array(assetIdSchema).min(1).max(maxAssetsPerRequest),
    }),
    options: retryOfRequest,
  }),

  /** Fetches the quotes of some holdings for a client and values them. */
  'portfolio.fetch': defineJob<null>()({
    name: 'portfolio.fetch',
    queue: 'requests',
    schema: z.object({
      workKey,
      requester,
      currency: currencySchema,
      holdings: z
        .array(z.object({ asset: assetIdSchema, quantity: z.string() }))
        .min(1)
        .max(maxHoldingsPerRequest),
    }),
    options: retryOfRequest,
  }),

  /** Spends one upstream call on the most urgent demand in one currency. At most one waits per currency and urgency. */
  'quotes.refresh': defineJob<{ readonly assets: number }>()({
    name: 'quotes.refresh',
    queue: 'refresh',
    schema: z.object({ currency: currencySchema, urgency: z.enum(urgencies) }),
    options: { attempts: 3, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
  }),

  /** Spends one upstream call on a page (250 assets) of the market-cap ranking in one currency. */
  'markets.refresh': defineJob<{ readonly assets: number }>()({
    name: 'markets.refresh',
    queue: 'refresh',
    schema: z.object({
      currency: currencySchema,
      page: z.int().min(1).max(1_000).default(1),
      urgency: z.enum(urgencies).default('interactive'),
    }),
    options: { attempts: 3, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
  }),

  /** Spends one upstream call on a document of CoinGecko's API. At most one waits or runs per document. */
  'document.refresh': defineJob<{ readonly fetched: boolean }>()({
    name: 'document.refresh',
    queue: 'refresh',
    schema: z.object({
      /** Canonical path and query below the API's root; only the API builds them, from validated values. */
      path: z
        .string()
        .max(8_192)
        .regex(/^\/[\x21-\x7e]+$/, 'is not a path'),
      /** A document younger than this (ms) needs no call. */
      freshMs: z.int().min(0),
      requester,
    }),
    options: { attempts: 2, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
  }),

  /** Spends one upstream call on the list of all assets. A failed one is repeated by `assets.check`, at growing intervals. */
  'assets.refresh': defineJob<{ readonly assets: number }>()({
    name: 'assets.refresh',
    queue: 'refresh',
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Checks whether the list of assets, or a page of its ranking, must be fetched, and enqueues that. */
  'assets.check': defineJob<{ readonly enqueued: boolean }>()({
    name: 'assets.check',
    queue: 'maintenance',
    every: 10_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Spends one upstream call on missing points of price history. Returns how many rows are new or better. */
  'history.backfill': defineJob<{ readonly points: number }>()({
    name: 'history.backfill',
    queue: 'refresh',
    schema: z.object({
      assetId: assetIdSchema,
      currency: currencySchema,
      granularity: z.enum(granularities),
      from: moment,
      to: moment,
      urgency: z.enum(urgencies),
      requester,
    }),
    options: { attempts: 3, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
  }),

  /** Rolls up five-minute candles into hourly and daily ones, and creates partitions ahead. */
  'candles.roll': defineJob<{ readonly written: number }>()({
    name: 'candles.roll',
    queue: 'maintenance',
    every: 60_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Spends one upstream call to read the limits and the usage of our key. */
  'tier.refresh': defineJob<{ readonly reported: boolean }>()({
    name: 'tier.refresh',
    queue: 'refresh',
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Checks whether the provider must be asked again, and enqueues that. */
  'tier.check': defineJob<{ readonly enqueued: boolean }>()({
    name: 'tier.check',
    queue: 'maintenance',
    every: 60_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Enqueues accepted work that has no live job: after a failed add, a wiped Redis or a lost race. */
  'jobs.reconcile': defineJob<{ readonly added: number }>()({
    name: 'jobs.reconcile',
    queue: 'maintenance',
    every: 5_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Sums the ledger of upstream calls by hour. Returns the number of hours summed. */
  'calls.sum': defineJob<{ readonly hours: number }>()({
    name: 'calls.sum',
    queue: 'maintenance',
    every: 300_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  ...retentions,

  /** Requests quotes that are read often and about to stop being fresh, as far as the budget allows. Makes no calls itself. */
  'quotes.warm': defineJob<{ readonly calls: number }>()({
    name: 'quotes.warm',
    queue: 'maintenance',
    every: 5_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /**
   * Mails a token that resets a password, if an account has this address. The token is created when the mail is sent: a secret
   * must not be in the data of a job.
   */
  'password-reset.mail': defineJob<{ readonly sent: boolean }>()({
    name: 'password-reset.mail',
    queue: 'mail',
    schema: z.object({
      email: z.string(),
      /** The address and the id of the request that asked for it: for the audit log. */
      address: z.string().optional(),
      requestId: z.string().optional(),
    }),
    options: { attempts: 5, backoff: { type: 'exponential', delay: 2_000, jitter: 0.5 }, ...keepBriefly },
  }),

  /**
   * Brings the derived tables of a portfolio (checkpoints, positions, lot matches) up to date with its transactions. Not a
   * client's job: every change of transactions adds one, deduplicated by the portfolio.
   */
  'books.update': defineJob<null>()({
    name: 'books.update',
    queue: 'books',
    schema: z.object({ portfolioId: z.uuid() }),
    options: { ...retryOnPortfolio, attempts: 5 },
  }),

  /** Enqueues an update for portfolios whose derived tables are behind: after a failed add, or a wiped Redis. */
  'books.check': defineJob<{ readonly added: number }>()({
    name: 'books.check',
    queue: 'maintenance',
    every: 5_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Deletes the derived tables of a portfolio and rebuilds them from its transactions. */
  'books.rebuild': defineJob<null>()({
    name: 'books.rebuild',
    queue: 'portfolios',
    schema: z.object({ ...onPortfolio, method: z.enum(costBasisMethods) }),
    options: retryOnPortfolio,
  }),

  /** Computes the performance figures of a portfolio over a range. */
  'performance.compute': defineJob<null>()({
    name: 'performance.compute',
    queue: 'portfolios',
    schema: z.object({
      ...onPortfolio,
      range: z.enum(performanceRanges),
      benchmark: assetIdSchema,
      /** Annual, 0.02 is 2 %. */
      riskFreeRate: z.number().min(-1).max(10),
      /** `books_version` of the portfolio at the time of the request: with other transactions it is other work. */
      booksVersion: z.string(),
      /** Prices of this time (ISO 8601, whole minutes): a later request is other work. */
      asOf: z.string(),
    }),
    options: retryOnPortfolio,
  }),

  /** Reads an uploaded report into the transactions of a portfolio, or shows what reading it would do. */
  'transactions.import': defineJob<null>()({
    name: 'transactions.import',
    queue: 'portfolios',
    schema: z.object({ ...onPortfolio, importId: z.uuid(), isDryRun: z.boolean() }),
    options: retryOnPortfolio,
  }),

  /** Stores the value of a portfolio after its transactions have changed. */
  'portfolio.snapshot': defineJob<null>()({
    name: 'portfolio.snapshot',
    queue: 'books',
    schema: z.object({ portfolioId: z.uuid() }),
    options: { attempts: 3, backoff: { type: 'exponential', delay: 1000, jitter: 0.5 }, ...keepBriefly },
  }),

  /** Stores the values of portfolios whose day has just ended. */
  'snapshots.check': defineJob<{ readonly stored: number }>()({
    name: 'snapshots.check',
    queue: 'maintenance',
    every: 60_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),

  /**
   * One attempt to deliver a webhook. The attempts, their times and their outcome are in the row of the delivery; the job only
   * triggers one.
   */
  'webhook.deliver': defineJob<null>()({
    name: 'webhook.deliver',
    queue: 'webhooks',
    schema: z.object({ deliveryId: z.uuid() }),
    options: { attempts: 1, ...keepBriefly },
  }),

  /** Enqueues webhooks that are due and that Redis may have lost. */
  'webhooks.check': defineJob<{ readonly added: number }>()({
    name: 'webhooks.check',
    queue: 'maintenance',
    every: 5_000,
    schema: z.object({}),
    options: { attempts: 1, ...keepBriefly },
  }),
} as const;

type Registry = typeof registry;
export type JobName = keyof Registry;
export type JobData<N extends JobName> =
  Registry[N] extends JobContract<string, QueueName, infer D, unknown> ? D : never;
export type JobResult<N extends JobName> =
  Registry[N] extends JobContract<string, QueueName, unknown, infer R> ? R : never;

/** Names of the jobs of one queue. */
export type JobNameOf<Q extends QueueName> = {
  [N in JobName]: Registry[N]['queue'] extends Q ? N : never;
}[JobName];

/** Queues of jobs that clients submit and see; each job has rows in Postgres. */
const clientQueues = ['requests', 'portfolios'] as const satisfies readonly QueueName[];

/** Jobs that clients submit and see. */
export type ClientJobName = JobNameOf<(typeof clientQueues)[number]>;

/** Names of the jobs of each queue that clients submit to. */
const namesOf = (queue: QueueName): readonly ClientJobName[] =>
  (Object.keys(registry) as JobName[]).filter(
    (name): name is ClientJobName => registry[name].queue === queue,
  );

/** Jobs whose results contain private books. */
export const portfolioJobNames = namesOf('portfolios');

/** Client jobs that concern no portfolio. */
export const requestJobNames = namesOf('requests');

/** Whether a name is that of a client's job on a portfolio. */
export function isPortfolioJob(name: string): boolean {
  return portfolioJobNames.some((each) => each === name);
}

/** Whether a name is that of a job that clients submit. */
export function isClientJob(name: string): name is ClientJobName {
  return name in registry && clientQueues.some((queue) => queue === registry[name as JobName].queue);
}
