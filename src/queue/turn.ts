import type { JobsOptions } from 'bullmq';

/**
 * Options that decide whose turn it is among client jobs: equal work has one turn, and small work goes first, as its quotes do
 * (src/demand). `assets` is the number of assets asked for.
 */
export function turnOf(workKey: string, assets: number): JobsOptions {
  return { deduplication: { id: workKey }, priority: assets };
}
