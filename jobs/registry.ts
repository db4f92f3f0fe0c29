import { assetsCheck, assetsRefresh } from './assets.ts';
import { documentRefresh } from './documents.ts';
import type { DataOf, QueueName, ResultOf } from './contract.ts';
import { candlesRoll, historyBackfill } from './history.ts';
import { passwordResetMail } from './mail.ts';
import { marketsRefresh, quotesRefresh } from './refresh.ts';
import { bulkFetch, portfolioFetch } from './requests.ts';
import { tierCheck, tierRefresh } from './tier.ts';
import { jobsPurge, jobsReconcile } from './upkeep.ts';
import { quotesWarm } from './warm.ts';

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
