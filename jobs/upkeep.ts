import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Adds to the queue what was accepted and has no live job: after a failed add, a wiped Redis or a lost race. */
export const jobsReconcile = defineJob<{ readonly added: number }>()({
  name: 'jobs.reconcile',
  queue: 'upkeep',
  every: 5_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});

/** Deletes what is past its retention: jobs, calls of the ledger, credentials, audit events, webhooks, portfolios, imports. */
export const jobsPurge = defineJob<{ readonly deleted: number }>()({
  name: 'jobs.purge',
  queue: 'upkeep',
  every: 600_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
