import { z } from 'zod';
import { maxAssetsPerRequest, maxHoldingsPerRequest } from '../../../jobs/registry.ts';
import { canonicalQuantity, holdsItsDigits } from '../../domain/quantity.ts';
import { symbols } from '../assets/schemas.ts';
import { boundedArray, coin, coins, currency, wholeNumber } from '../../platform/http/fields.ts';
import { maxWaitSeconds } from '../jobs/preferences.ts';
import { callbackUrl } from '../webhooks/schemas.ts';

const timeoutRule = `must be a number of seconds from 1 to ${maxWaitSeconds}`;

/** How long a submission waits for its result, in seconds. */
export const timeout = z
  .number({ error: timeoutRule })
  .min(1, timeoutRule)
  .max(maxWaitSeconds, timeoutRule)
  .optional()
  .meta({ description: 'Seconds to wait for the result; without it the answer is 202 at once' });

const quantityRule = 'must be a decimal of zero or more with at most 20 digits before and 18 after the point';
const digitsRule = 'has more digits than a JSON number can hold; send it as text';

const quantity = z
  .union([z.string(), z.number()], { error: quantityRule })
  .transform((given, ctx) => {
    const text = canonicalQuantity(given);
    if (text === undefined) ctx.addIssue({ code: 'custom', message: quantityRule });
    else if (!holdsItsDigits(given)) ctx.addIssue({ code: 'custom', message: digitsRule });
    return text ?? '';
  })
  .meta({
    description:
      'Decimal; as a string it may have 20 digits before and 18 after the point, as a number 15 in all',
    examples: ['0.125'],
  });

/** Rows of coin and quantity; several may name the same coin. */
export const holdings = boundedArray(z.strictObject({ coin, quantity }), maxHoldingsPerRequest).superRefine(
  (rows, ctx) => {
    const distinct = new Set(rows.map((row) => row.coin)).size;
    if (distinct > maxAssetsPerRequest) {
      ctx.addIssue({
        code: 'custom',
        message: `names ${distinct} coins; at most ${maxAssetsPerRequest} are allowed`,
      });
    }
  },
);

/** Body of `POST /crypto/bulk`: coins by id, by symbol, or both. */
export const bulkBody = z
  .strictObject({
    coins: coins.optional(),
    symbols: symbols.optional().meta({
      description: 'Symbols, each of which stands for the largest coin by market capitalisation that has it',
    }),
    currency,
    timeout,
    callback_url: callbackUrl,
  })
  .superRefine((body, ctx) => {
    if (body.coins === undefined && body.symbols === undefined) {
      ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give coins, symbols or both' });
    }
  });

/** Body of `POST /crypto/portfolio`: coins alone, or holdings with quantities. */
export const portfolioBody = z
  .strictObject({
    coins: coins.optional(),
    holdings: holdings.optional(),
    currency,
    timeout,
    callback_url: callbackUrl,
  })
  .superRefine((body, ctx) => {
    if ((body.coins === undefined) === (body.holdings === undefined)) {
      ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give either coins or holdings' });
    }
  });

/** Query of `GET /crypto/:coinId`. */
export const quoteQuery = z.strictObject({ currency });

/** Path of `GET /crypto/:coinId`. */
export const coinPath = z.object({ coinId: coin });

/** Query of `GET /crypto/popular`. */
export const popularQuery = z.strictObject({
  currency,
  limit: wholeNumber({ min: 1, max: 250 }).default(50),
});

/** Query of `DELETE /crypto/cache`. */
export const clearQuery = z.strictObject({
  coins: z
    .preprocess(
      (text) => (typeof text === 'string' ? text.split(',') : text),
      boundedArray(coin, maxAssetsPerRequest),
    )
    .optional()
    .meta({ description: 'Comma-separated asset ids; all when absent' }),
});
