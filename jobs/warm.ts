import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Wants what is read often and about to stop being fresh, as far as the budget allows. Calls nobody by itself. */
export const quotesWarm = defineJob<{ readonly calls: number }>()({
  name: 'quotes.warm',
  queue: 'upkeep',
  every: 5_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
