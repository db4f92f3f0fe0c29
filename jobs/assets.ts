import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Spends one upstream call on the list of all assets. One that fails is repeated by `assets.check`, later and later. */
export const assetsRefresh = defineJob<{ readonly assets: number }>()({
  name: 'assets.refresh',
  queue: 'refresh',
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});

/** Looks whether the list of assets, or a page of the ranking that belongs to it, is to be fetched, and sees to it. */
export const assetsCheck = defineJob<{ readonly kicked: boolean }>()({
  name: 'assets.check',
  queue: 'upkeep',
  every: 10_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
