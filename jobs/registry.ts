import type { DataOf, QueueName, ResultOf } from './contract.ts';
import { passwordResetMail } from './mail.ts';
import { marketsRefresh, quotesRefresh } from './refresh.ts';
import { bulkFetch, portfolioFetch } from './requests.ts';
import { jobsPurge, jobsReconcile } from './upkeep.ts';

/** Every job there is, by name. */
export const registry = {
  'bulk.fetch': bulkFetch,
  'portfolio.fetch': portfolioFetch,
  'quotes.refresh': quotesRefresh,
  'markets.refresh': marketsRefresh,
  'jobs.reconcile': jobsReconcile,
  'jobs.purge': jobsPurge,
  'password-reset.mail': passwordResetMail,
} as const;

export type Registry = typeof registry;
export type JobName = keyof Registry;
export type JobData<N extends JobName> = DataOf<Registry[N]>;
export type JobResult<N extends JobName> = ResultOf<Registry[N]>;

/** Names of the jobs of one queue. */
export type JobNameOf<Q extends QueueName> = {
  [N in JobName]: Registry[N]['queue'] extends Q ? N : never;
}[JobName];

/** Jobs that clients submit and see; each has rows in Postgres. */
export type ClientJobName = JobNameOf<'requests'>;
