import { z } from 'zod';
import { wholeNumber } from '../../platform/http/fields.ts';

const dayMs = 86_400_000;
/** Days that an answer covers when the request names none. */
const usualDays = 30;
const mostDays = 366;

const rule = 'must be a day such as 2026-01-31';
/** Postgres knows no year 0, and there is no usage from before this program. */
const firstDay = '2000-01-01';

const day = z.iso
  .date(rule)
  .refine((text) => text >= firstDay, `must not be before ${firstDay}`)
  .optional()
  .meta({ description: 'UTC day, YYYY-MM-DD', examples: ['2026-01-31'] });

interface Days {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** The first and the last day asked for: until today, and for 30 days, where one is not given. */
function wholeRange(given: Days, today: string): { from: string; to: string } {
  const to = given.to ?? (given.from === undefined ? today : later(given.from, today));
  const from = given.from ?? dayOf(Date.parse(to) - (usualDays - 1) * dayMs);
  return { from, to };
}

function later(one: string, other: string): string {
  return one > other ? one : other;
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function rangeOf(given: Days, ctx: z.core.$RefinementCtx): { from: string; to: string } {
  const range = wholeRange(given, dayOf(Date.now()));
  const days = (Date.parse(range.to) - Date.parse(range.from)) / dayMs + 1;
  if (days < 1) ctx.addIssue({ code: 'custom', path: ['to'], message: 'must not be before from' });
  if (days > mostDays) {
    ctx.addIssue({ code: 'custom', path: ['from'], message: `must be at most ${mostDays} days before to` });
  }
  return range;
}

/** Query of `GET /usage`. */
export const usageQuery = z.strictObject({ from: day, to: day }).transform(rangeOf);

/** Query of `GET /admin/usage`. */
export const allUsageQuery = z
  .strictObject({
    from: day,
    to: day,
    page: wholeNumber({ min: 1, max: 1_000_000 }).default(1),
    limit: wholeNumber({ min: 1, max: 100 }).default(20),
  })
  .transform(({ page, limit, ...given }, ctx) => ({ page, limit, ...rangeOf(given, ctx) }));
