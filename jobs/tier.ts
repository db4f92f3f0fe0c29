import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Spends one upstream call on what the provider tells of our key: its limits and how much of them is used. */
export const tierRefresh = defineJob<{ readonly told: boolean }>()({
  name: 'tier.refresh',
  queue: 'refresh',
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});

/** Looks whether the provider is to be asked again, and sees to it. */
export const tierCheck = defineJob<{ readonly kicked: boolean }>()({
  name: 'tier.check',
  queue: 'upkeep',
  every: 60_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
