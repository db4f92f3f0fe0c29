import { z } from 'zod';
import { eventStreamFields } from '../../platform/realtime/stream-fields.ts';
import { textOfPrice } from './crossing.ts';
import { formatAmount, parseAmount } from '../portfolios/ledger/amount.ts';
import { alertDirections, alertKinds, alertRepeats, alertStates, alertWindows } from './alert.ts';
import { holdsItsDigits } from '../../domain/quantity.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { coin, currency } from '../../platform/http/fields.ts';
import { paging } from '../portfolios/schemas.ts';

const decimalRule = 'must be a decimal with at most 20 digits before and 18 after the point';
const digitsRule = 'has more digits than a JSON number can hold; send it as text';

/** A decimal with a sign, as canonical text. */
const decimal = z.union([z.string(), z.number()], { error: decimalRule }).transform((given, ctx) => {
  const amount = parseAmount(typeof given === 'number' ? textOfPrice(given) : given.trim());
  if (amount === undefined) ctx.addIssue({ code: 'custom', message: decimalRule });
  else if (!holdsItsDigits(given)) ctx.addIssue({ code: 'custom', message: digitsRule });
  return amount === undefined ? '' : formatAmount(amount);
});

const threshold = decimal.meta({
  description: 'A price or a value in the currency, or per cent of change; it belongs to the condition',
  examples: ['100000'],
});

const direction = z.enum(alertDirections, `must be one of ${alertDirections.join(', ')}`);

const repeat = z.enum(alertRepeats, `must be one of ${alertRepeats.join(', ')}`).meta({
  description: 'Whether it fires once or at every crossing',
});

const window = z
  .literal([...alertWindows], { error: `must be one of ${alertWindows.join(', ')} seconds` })
  .meta({ description: 'Seconds that a change is measured over' });

const hysteresis = z
  .strictObject({ percent: decimal.optional(), absolute: decimal.optional() })
  .refine(({ percent, absolute }) => (percent === undefined) !== (absolute === undefined), {
    message: 'must have either percent or absolute',
  })
  .meta({
    description:
      'How far the value must come back before the alert is armed again: per cent of the threshold (1 by default) or absolute',
  });

const url = z
  .string()
  .max(2_048, 'must have at most 2048 characters')
  .refine((text) => URL.canParse(text), 'must be an absolute URL')
  .meta({ description: 'Where a webhook alert.fired goes', examples: ['https://example.com/hooks/prices'] });

const note = z
  .string()
  .max(500, 'must have at most 500 characters')
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, 'must not contain control characters')
  .meta({ description: 'For you; told with every firing' });

const fireIfTrue = z.boolean().meta({
  description: 'Fires at the first price when the condition holds already; otherwise it must cross first',
});

const portfolioId = z.uuid('must be a UUID').transform((id) => id.toLowerCase());

/** Body of `POST /alerts`. */
export const newAlertBody = z
  .strictObject({
    kind: z.enum(alertKinds, `must be one of ${alertKinds.join(', ')}`),
    coin: coin.optional(),
    portfolio_id: portfolioId.optional(),
    currency: currency.unwrap().optional(),
    direction,
    threshold,
    window: window.optional(),
    hysteresis: hysteresis.optional(),
    repeat: repeat.default('once'),
    fire_if_true: fireIfTrue.default(false),
    url: url.nullish(),
    note: note.nullish(),
    enabled: z.boolean().default(true),
  })
  .superRefine((body, ctx) => {
    const problem = (field: string, message: string): void =>
      ctx.addIssue({ code: 'custom', path: [field], message });
    const isValue = body.kind === 'portfolio_value';
    if (isValue && body.portfolio_id === undefined) problem('portfolio_id', 'is required');
    if (isValue && body.coin !== undefined) problem('coin', 'does not go with the value of a portfolio');
    if (isValue && body.currency !== undefined) problem('currency', 'is that of the portfolio');
    if (!isValue && body.coin === undefined) problem('coin', 'is required');
    if (!isValue && body.portfolio_id !== undefined)
      problem('portfolio_id', 'goes with alerts of kind portfolio_value');
  });

/** Body of `PUT /alerts/:id`: a closed list, and at least one change. What is watched is fixed. */
export const alertChangesBody = z
  .strictObject({
    direction: direction.optional(),
    threshold: threshold.optional(),
    window: window.optional(),
    hysteresis: hysteresis.optional(),
    repeat: repeat.optional(),
    fire_if_true: fireIfTrue.optional(),
    url: url.nullish(),
    note: note.nullish(),
    enabled: z.boolean().optional(),
  })
  .refine(
    (body) => Object.values(body).some((value) => value !== undefined),
    'must change at least one of direction, threshold, window, hysteresis, repeat, fire_if_true, url, note and enabled',
  );

/** Query of `GET /alerts`. */
export const alertsQuery = z.strictObject({
  ...paging,
  kind: z.enum(alertKinds).optional(),
  state: z.enum(alertStates).optional(),
  coin: coin.optional(),
  portfolio_id: portfolioId.optional(),
});

/** Query of `GET /alerts/firings`. */
export const firingsQuery = z.strictObject({
  ...paging,
  alert_id: z
    .uuid('must be a UUID')
    .transform((id) => id.toLowerCase())
    .optional(),
});

/** Query of `GET /alerts/stream`. Both are read elsewhere. */
export const alertStreamQuery = z.strictObject(eventStreamFields);

/** Path of an alert. */
export const alertPath = z.object({ id: z.string() });

const uuid = z.uuid();

/**
 * The id in an alert's path.
 * @throws {NotFoundError} it is no UUID, so there is no such alert.
 */
export function alertIdOf({ id }: z.output<typeof alertPath>): string {
  if (!uuid.safeParse(id).success)
    throw new NotFoundError('There is no such alert, or it is somebody else’s', 'alert_not_found');
  return id.toLowerCase();
}
