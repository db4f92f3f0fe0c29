import { assetsCheck, assetsRefresh } from './assets.ts';
import { documentRefresh } from './documents.ts';
import type { DataOf, QueueName, ResultOf } from './contract.ts';
import { candlesRoll, historyBackfill } from './history.ts';
import { passwordResetMail } from './mail.ts';
import {
  booksCheck,
  booksRebuild,
  booksUpdate,
  performanceCompute,
  transactionsImport,
} from './portfolios.ts';
import { marketsRefresh, quotesRefresh } from './refresh.ts';
import { bulkFetch, portfolioFetch } from './requests.ts';
import { portfolioSnapshot, snapshotsCheck } from './snapshots.ts';
import { tierCheck, tierRefresh } from './tier.ts';
import { jobsPurge, jobsReconcile } from './upkeep.ts';
import { quotesWarm } from './warm.ts';
import { webhookDeliver, webhooksCheck } from './webhooks.ts';

/** Every job there is, by name. */
export const registry = {
  'bulk.fetch': bulkFetch,
  'portfolio.fetch': portfolioFetch,
  'quotes.refresh': quotesRefresh,
  'markets.refresh': marketsRefresh,
  'document.refresh': documentRefresh,
  'assets.refresh': assetsRefresh,
  'history.backfill': historyBackfill,
  'tier.refresh': tierRefresh,
  'jobs.reconcile': jobsReconcile,
  'jobs.purge': jobsPurge,
  'tier.check': tierCheck,
  'assets.check': assetsCheck,
  'candles.roll': candlesRoll,
  'quotes.warm': quotesWarm,
  'password-reset.mail': passwordResetMail,
  'books.update': booksUpdate,
  'books.check': booksCheck,
  'books.rebuild': booksRebuild,
  'performance.compute': performanceCompute,
  'transactions.import': transactionsImport,
  'portfolio.snapshot': portfolioSnapshot,
  'snapshots.check': snapshotsCheck,
  'webhook.deliver': webhookDeliver,
  'webhooks.check': webhooksCheck,
} as const;

export type Registry = typeof registry;
export type JobName = keyof Registry;
export type JobData<N extends JobName> = DataOf<Registry[N]>;
export type JobResult<N extends JobName> = ResultOf<Registry[N]>;

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

/** Jobs whose results tell of private books. */
export const portfolioJobNames = namesOf('portfolios');

/** Client jobs on nobody's portfolio. */
export const requestJobNames = namesOf('requests');

/** Whether a name is that of a client's job on a portfolio. */
export function isPortfolioJob(name: string): boolean {
  return portfolioJobNames.some((each) => each === name);
}

/** Whether a name is that of a job that clients submit. */
export function isClientJob(name: string): name is ClientJobName {
  return name in registry && clientQueues.some((queue) => queue === registry[name as JobName].queue);
}
