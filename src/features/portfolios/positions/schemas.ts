import { z } from 'zod';
import { dayNumber, dayText } from '../ledger/days.ts';
import { coin, wholeNumber } from '../../../platform/http/fields.ts';
import { timeout } from '../../quotes/price-schemas.ts';
import { callbackUrl } from '../../webhooks/schemas.ts';

const longPage = {
  page: wholeNumber({ min: 1, max: 1_000_000 }).default(1),
  limit: wholeNumber({ min: 1, max: 1_000 }).default(100),
};

/** Query of `GET /portfolios/:id/positions`. */
export const positionsQuery = z.strictObject({
  status: z
    .enum(['open', 'closed', 'all'], 'must be one of open, closed, all')
    .default('open')
    .meta({ description: 'open: something is held; closed: everything went' }),
});

/** Query of `GET /portfolios/:id/lots`. */
export const lotsQuery = z.strictObject({ asset: coin.optional(), ...longPage });

const dayRule = 'must be a day such as 2024-01-31';
const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, dayRule)
  .refine((text) => !Number.isNaN(dayNumber(text)) && dayText(dayNumber(text)) === text, dayRule);

/** Query of `GET /portfolios/:id/realised`. */
export const realisedQuery = z
  .strictObject({
    from: day.optional().meta({ description: 'First day, by the time zone of the portfolio' }),
    to: day.optional().meta({ description: 'Last day' }),
    year: wholeNumber({ min: 1970, max: 9998 }).optional().meta({ description: 'Instead of from and to' }),
    asset: coin.optional(),
    ...longPage,
  })
  .superRefine(({ from, to, year }, ctx) => {
    const refuse = (path: string, message: string): void =>
      ctx.addIssue({ code: 'custom', path: [path], message });
    if (year !== undefined && (from !== undefined || to !== undefined))
      refuse('year', 'cannot be combined with from and to');
    if (from !== undefined && to !== undefined && to < from) refuse('to', 'must not be before from');
  });

/** Body of `POST /portfolios/:id/rebuild`. */
export const rebuildBody = z.strictObject({ timeout, callback_url: callbackUrl });
