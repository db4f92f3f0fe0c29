import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Spends one upstream call on a document of CoinGecko's API. At most one waits or runs per document. */
export const documentRefresh = defineJob<{ readonly fetched: boolean }>()({
  name: 'document.refresh',
  queue: 'refresh',
  schema: z.object({
    /** Canonical path and query below the API's root; only the API makes them, of values that it has checked. */
    path: z
      .string()
      .max(8_192)
      .regex(/^\/[\x21-\x7e]+$/, 'is not a path'),
    /** A document that is younger than this (ms) needs no call. */
    freshMs: z.int().min(0),
    /** Who is charged (src/domain/requester.ts). */
    requester: z.string().max(100).optional(),
  }),
  options: { attempts: 2, backoff: { type: 'fixed', delay: 500, jitter: 0.5 }, ...keepBriefly },
});
