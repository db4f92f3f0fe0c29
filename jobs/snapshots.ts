import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Notes what a portfolio is worth after its transactions have changed. */
export const portfolioSnapshot = defineJob<null>()({
  name: 'portfolio.snapshot',
  queue: 'books',
  schema: z.object({ portfolioId: z.uuid() }),
  options: { attempts: 3, backoff: { type: 'exponential', delay: 1000, jitter: 0.5 }, ...keepBriefly },
});

/** Notes what portfolios are worth whose day has just ended, and deletes snapshots of changes that are past their retention. */
export const snapshotsCheck = defineJob<{ readonly stored: number; readonly deleted: number }>()({
  name: 'snapshots.check',
  queue: 'upkeep',
  every: 60_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
