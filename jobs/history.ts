import { z } from 'zod';
import { granularities } from '../src/domain/history.ts';
import { urgencies } from '../src/domain/quote.ts';
import { defineJob, keepBriefly } from './contract.ts';
import { assetIdSchema, currencySchema } from './requests.ts';

/** Moments in milliseconds since the epoch. */
const moment = z.number().int().min(0).max(4_102_444_800_000);

/** Spends one upstream call on points of the past that are missing. Says how many rows are new or better. */
export const historyBackfill = defineJob<{ readonly points: number }>()({
  name: 'history.backfill',
  queue: 'refresh',
  schema: z.object({
    assetId: assetIdSchema,
    currency: currencySchema,
    granularity: z.enum(granularities),
    from: moment,
    to: moment,
    urgency: z.enum(urgencies),
    /** Who is charged for the call (src/domain/requester.ts). */
    requester: z.string().max(100).optional(),
  }),
  options: { attempts: 3, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
});

/** Makes candles of hours and days of those of five minutes, makes partitions ahead, and drops what is past its retention. */
export const candlesRoll = defineJob<{ readonly written: number; readonly dropped: number }>()({
  name: 'candles.roll',
  queue: 'upkeep',
  every: 60_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
