import { z } from 'zod';
import { maxAssetsPerRequest } from '../../../jobs/registry.ts';
import { boundedArray, coin, currency } from '../../platform/http/fields.ts';
import { longestIntervalSeconds, mostUpdates, streamFields } from '../../platform/realtime/stream-fields.ts';
import { holdings } from './price-schemas.ts';

/** Distinct asset ids; one that is named twice is watched once. */
const watched = boundedArray(coin, maxAssetsPerRequest).transform((ids) => [...new Set(ids)]);

/** Query of `GET /crypto/stream/prices`. `ticket` and `lastEventId` are read elsewhere. */
export const priceStreamQuery = z.strictObject({
  coins: z
    .preprocess((text) => (typeof text === 'string' ? text.split(',') : text), watched)
    .meta({ description: 'Comma-separated asset ids, 250 at most', examples: ['bitcoin,ethereum'] }),
  currency,
  ...streamFields,
});

const seconds = z.int('must be a whole number of seconds');

/** Body of `POST /crypto/stream/portfolio`: coins alone, or holdings with quantities. */
export const portfolioStreamBody = z
  .strictObject({
    coins: watched.optional(),
    holdings: holdings.optional(),
    currency,
    interval: seconds
      .min(1, 'must be at least 1')
      .max(longestIntervalSeconds, 'must be at most 3600')
      .default(1),
    max_updates: z
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(mostUpdates, 'must be at most 1000000')
      .optional(),
  })
  .superRefine((body, ctx) => {
    if ((body.coins === undefined) === (body.holdings === undefined)) {
      ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give either coins or holdings' });
    }
  });
