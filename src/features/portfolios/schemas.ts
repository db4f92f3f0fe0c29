import { z } from 'zod';
import { costBasisMethods } from '../../domain/bookkeeping.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { currency, pageNumber, pageSize } from '../../platform/http/fields.ts';

/** Page of a list, and how many there are on it. */
export const paging = {
  page: pageNumber,
  limit: pageSize({ usual: 20, max: 100 }),
};

/** Query of `GET /portfolios`, and of audit trails. */
export const pagingQuery = z.strictObject(paging);

const name = z
  .string()
  .trim()
  .min(1, 'must not be empty')
  .max(100, 'must have at most 100 characters')
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, 'must not contain control characters');

const baseCurrency = currency.unwrap();

const method = z.enum(costBasisMethods, `must be one of ${costBasisMethods.join(', ')}`).meta({
  description:
    'Cost basis method, which lots a disposal uses up. fifo: the oldest; lifo: the newest; hifo: the most expensive; ' +
    'average: a moving average of all; uk_pool: the share matching rules of the United Kingdom (same day, 30 days, pool)',
});

const timeZone = z
  .string()
  .trim()
  .max(64, 'is not a time zone')
  .transform((text, ctx) => {
    const zone = timeZoneOf(text);
    if (zone !== undefined) return zone;
    ctx.addIssue({
      code: 'custom',
      message: 'is not a time zone of the IANA database, such as Europe/Berlin',
    });
    return z.NEVER;
  })
  .meta({
    description: 'IANA time zone in which the days of the portfolio start and end, such as Europe/Berlin',
    examples: ['Europe/Berlin'],
  });

/** Body of `POST /portfolios`. */
export const newPortfolioBody = z.strictObject({
  name,
  base_currency: baseCurrency.default('usd').meta({
    description:
      'Currency of all values in the portfolio, such as usd, eur or btc; it cannot change once there are transactions',
  }),
  method: method.default('fifo'),
  time_zone: timeZone.default('UTC'),
});

/** Body of `PATCH /portfolios/:id`: a closed list, and at least one change. */
export const portfolioChangesBody = z
  .strictObject({
    name: name.optional(),
    base_currency: baseCurrency.optional(),
    method: method.optional(),
    time_zone: timeZone.optional(),
  })
  .refine(
    (body) => Object.values(body).some((value) => value !== undefined),
    'must change at least one of name, base_currency, method and time_zone',
  );

/** Path of a portfolio. */
export const portfolioPath = z.object({ id: z.string().meta({ description: 'Id of the portfolio (UUID)' }) });

const uuid = z.uuid();

/**
 * The id in a portfolio's path.
 * @throws {NotFoundError} it is not a UUID, so there is no such portfolio.
 */
export function portfolioIdOf({ id }: z.output<typeof portfolioPath>): string {
  if (!uuid.safeParse(id).success) throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
  return id.toLowerCase();
}

/** URL path of a portfolio. */
export function portfolioUrl(id: string): string {
  return `/api/v1/portfolios/${id}`;
}

/**
 * A zone in the form in which it is stored, if this runtime knows it; Postgres is asked when it is stored. Offsets are refused
 * because they have no daylight saving time, abbreviations because the runtime and Postgres may read them differently.
 */
function timeZoneOf(text: string): string | undefined {
  if (text.toUpperCase() === 'UTC') return 'UTC';
  if (!/^[A-Za-z]\w*(\/[A-Za-z][\w+-]*)+$/.test(text)) return undefined;
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions();
    // An alias of a zone is kept as sent: the runtime may replace it by an obsolete name.
    const isSpelling = timeZone === 'UTC' || timeZone.toLowerCase() === text.toLowerCase();
    return isSpelling ? timeZone : text;
  } catch {
    return undefined;
  }
}
