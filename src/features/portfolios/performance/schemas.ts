import { z } from 'zod';
import { performanceRanges } from '../../../domain/performance-range.ts';
import { coin } from '../../../platform/http/fields.ts';
import { timeout } from '../../quotes/price-schemas.ts';
import { callbackUrl } from '../../webhooks/schemas.ts';

const range = z
  .enum(performanceRanges, `must be one of ${performanceRanges.join(', ')}`)
  .default('max')
  .meta({ description: 'Days of the range, all of which end today; max begins with the first transaction' });

const benchmark = coin
  .default('bitcoin')
  .meta({ description: 'Asset that the same flows are invested in for comparison', examples: ['bitcoin'] });

const rateRule =
  'must be an annual rate from -1 to 10, such as 0.02 for 2 %, with at most 4 digits after the point';
const described = { description: 'Annual risk-free rate: 0.02 is 2 %' };
const isInRange = (rate: number): boolean => rate >= -1 && rate <= 10;
/** Finer rates tell nothing, and each of them would be other work. */
const hasFewDigits = (rate: number): boolean => Math.round(rate * 1e4) / 1e4 === rate;
/** Minus nothing is nothing: it would be other work. */
const withoutSign = (rate: number): number => rate + 0;

const rateInQuery = z
  .string()
  .regex(/^-?\d{1,2}(\.\d{1,4})?$/, rateRule)
  .transform(Number)
  .refine(isInRange, rateRule)
  .transform(withoutSign)
  .default(0)
  .meta({ ...described, examples: ['0.02'] });

const rateInBody = z
  .number({ error: rateRule })
  .refine((rate) => isInRange(rate) && hasFewDigits(rate), rateRule)
  .transform(withoutSign)
  .default(0)
  .meta({ ...described, examples: [0.02] });

/** Query of `GET /portfolios/:id/performance`. */
export const performanceQuery = z.strictObject({
  range,
  benchmark,
  risk_free_rate: rateInQuery,
});

/** Body of `POST /portfolios/:id/performance`. */
export const performanceBody = z.strictObject({
  range,
  benchmark,
  risk_free_rate: rateInBody,
  timeout,
  callback_url: callbackUrl,
});
