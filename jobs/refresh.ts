import { z } from 'zod';
import { urgencies } from '../src/domain/quote.ts';
import { defineJob, keepBriefly } from './contract.ts';
import { currencySchema } from './requests.ts';

/** Spends one upstream call on the most urgent demand in one currency. At most one waits per currency and urgency. */
export const quotesRefresh = defineJob<{ readonly assets: number }>()({
  name: 'quotes.refresh',
  queue: 'refresh',
  schema: z.object({ currency: currencySchema, urgency: z.enum(urgencies) }),
  options: { attempts: 3, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
});

/** Spends one upstream call on a page (250 assets) of the market-cap ranking in one currency. */
export const marketsRefresh = defineJob<{ readonly assets: number }>()({
  name: 'markets.refresh',
  queue: 'refresh',
  schema: z.object({
    currency: currencySchema,
    page: z.int().min(1).max(1_000).default(1),
    urgency: z.enum(urgencies).default('interactive'),
  }),
  options: { attempts: 3, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
});
