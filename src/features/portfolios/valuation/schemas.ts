import { z } from 'zod';
import { performanceRanges } from '../../../domain/performance-range.ts';
import { streamFields } from '../../../platform/realtime/stream-fields.ts';

/** Query of `GET /portfolios/:id/history`. */
export const historyQuery = z.strictObject({
  range: z
    .enum(performanceRanges, `must be one of ${performanceRanges.join(', ')}`)
    .default('30d')
    .meta({ description: 'Days that end with today; max begins with the first transaction' }),
  interval: z.enum(['1d', 'snapshot'], 'must be 1d or snapshot').default('1d').meta({
    description: '1d: every day, worked out from transactions and prices; snapshot: what was stored',
  }),
});

/** Query of `GET /portfolios/:id/stream`. `ticket` and `lastEventId` are read elsewhere. */
export const valueStreamQuery = z.strictObject(streamFields);
