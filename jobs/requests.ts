import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/** Most distinct assets in one request. */
export const maxAssetsPerRequest = 250;
/** Most rows of holdings in one request; several rows may name the same asset. */
export const maxHoldingsPerRequest = 10_000;

/** An asset id as providers write them: lower case, no path or list separators, at most 100 characters. */
export const assetIdSchema = z
  .string()
  .trim()
  .toLowerCase()
  .regex(
    /^[a-z0-9_-][a-z0-9._-]{0,99}$/,
    'is not an asset id (letters, digits, ".", "_" and "-", at most 100)',
  );

/** A quote currency such as `usd`. */
export const currencySchema = z
  .string()
  .trim()
  .toLowerCase()
  .regex(/^[a-z]{2,8}$/, 'is not a currency code');

const retry = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  ...keepBriefly,
} as const;

/** Key under which equal requests share one run, and the rows of all who wait for it are found. */
const workKey = z.string();

/** Who is charged for the upstream calls (src/domain/requester.ts): whoever asked first. No part of the work itself. */
const requester = z.string().max(100).optional();

/** Fetches the quotes of some assets for a client. */
export const bulkFetch = defineJob<null>()({
  name: 'bulk.fetch',
  queue: 'requests',
  schema: z.object({
    workKey,
    requester,
    currency: currencySchema,
    assets: z.array(assetIdSchema).min(1).max(maxAssetsPerRequest),
  }),
  options: retry,
});

/** Fetches the quotes of some holdings for a client and values them. */
export const portfolioFetch = defineJob<null>()({
  name: 'portfolio.fetch',
  queue: 'requests',
  schema: z.object({
    workKey,
    requester,
    currency: currencySchema,
    holdings: z
      .array(z.object({ asset: assetIdSchema, quantity: z.string() }))
      .min(1)
      .max(maxHoldingsPerRequest),
  }),
  options: retry,
});
