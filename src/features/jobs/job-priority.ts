import type { JobsOptions } from 'bullmq';
import { isPortfolioJob } from '../../../jobs/registry.ts';

/** What decides whose turn it is. */
export interface Turn {
  readonly name: string;
  readonly workKey: string;
  /** Number of assets asked for. */
  readonly total: number;
  /** Unfinished jobs on portfolios that the user had before. */
  readonly ahead: number;
}

/**
 * Options that decide whose turn it is among client jobs: equal work has one turn. Small work goes first, as its quotes do
 * (src/demand). Of jobs on portfolios, which cost worker time instead, everybody's first goes before anybody's second, so that
 * who has many waits behind who has few.
 */
export function turnOf({ name, workKey, total, ahead }: Turn): JobsOptions {
  return { deduplication: { id: workKey }, priority: isPortfolioJob(name) ? 1 + ahead : total };
}
