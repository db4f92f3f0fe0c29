import { transactionTypes } from '../../../domain/bookkeeping.ts';
import { z } from 'zod';
import { canonicalQuantity, holdsItsDigits } from '../../../domain/quantity.ts';
import { NotFoundError } from '../../../domain/errors.ts';
import type { WrittenTransaction } from './transaction-drafts.ts';
import { boundedArray, coin } from '../../../platform/http/fields.ts';
import { paging, portfolioPath } from '../schemas.ts';

/** Most transactions of one request. */
export const maxTransactionsPerRequest = 1_000;

const digitsRule = 'has more digits than a JSON number can hold; send it as text';

const decimalRule = 'must be a decimal, such as "0.125"';
const describedDecimal = {
  description:
    'Decimal; as a string it may have 20 digits before and 18 after the point, as a number 15 in all',
  examples: ['0.125'],
};

const decimal = z
  .union([z.string(), z.number()], { error: decimalRule })
  .transform(toText)
  .meta(describedDecimal);

const decimalOrNone = z
  .union([z.string(), z.number(), z.null()], { error: decimalRule })
  .transform((given, ctx) => (given === null ? null : toText(given, ctx)))
  .optional()
  .meta(describedDecimal);

const asset = z
  .string()
  .trim()
  .toLowerCase()
  .max(128, 'has too many characters')
  .meta({ description: 'Asset id, such as bitcoin', examples: ['bitcoin'] });

const leg = z.strictObject({ asset, quantity: decimal }).nullish();

const fee = z
  .strictObject({ asset: asset.nullish(), quantity: decimalOrNone, value: decimalOrNone })
  .nullish()
  .meta({
    description:
      'In an asset: asset, quantity and, unless the market is to be asked, its value; in cash: the value alone',
  });

const content = {
  type: z.enum(transactionTypes, `must be one of ${transactionTypes.join(', ')}`),
  executed_at: z
    .string()
    .max(64, 'has too many characters')
    .meta({
      description: 'Date and time with an offset; not in the future and not before 2009-01-03',
      examples: ['2024-01-31T09:30:00+01:00'],
    }),
  received: leg.meta({ description: 'What came in' }),
  given: leg.meta({ description: 'What went out' }),
  value: decimalOrNone.meta({
    description:
      'In the base currency, without the fee: cash paid or received, else the market value, which is looked up when absent',
  }),
  fee,
  note: z
    .string()
    .trim()
    .max(500, 'must have at most 500 characters')
    .regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, 'must not contain control characters')
    .nullish(),
  sequence: z
    .int('must be a whole number')
    .min(0, 'must be at least 0')
    .max(2_147_483_647, 'must be at most 2147483647')
    .optional()
    .meta({ description: 'Place among transactions of the same moment and type' }),
};

/** Body of `PUT …/transactions/:tid`: the whole transaction as it is to be. */
export const transactionBody = z.strictObject(content);

/** Body of `POST …/transactions`. */
export const newTransactionBody = z.strictObject({
  id: z.uuid('is not a UUID').toLowerCase().optional().meta({
    description: 'Chosen by you, so that the request can be sent again without doing anything twice',
  }),
  ...content,
});

/** Body of `POST …/transactions/bulk`. */
export const transactionsBody = z.strictObject({
  transactions: boundedArray(newTransactionBody, maxTransactionsPerRequest).superRefine((all, ctx) => {
    const firstAt = new Map<string, number>();
    for (const [index, { id }] of all.entries()) {
      const first = id === undefined ? undefined : firstAt.get(id);
      if (first !== undefined)
        ctx.addIssue({ code: 'custom', path: [index, 'id'], message: `repeats that of element ${first}` });
      else if (id !== undefined) firstAt.set(id, index);
    }
  }),
});

const moment = z.iso
  .datetime({ offset: true, error: 'must be a date and time with an offset, such as 2024-01-31T09:30:00Z' })
  .transform((text) => Date.parse(text));

/** Query of `GET …/transactions`. */
export const transactionsQuery = z.strictObject({
  ...paging,
  asset: coin.optional().meta({ description: 'Received, given or paid as a fee' }),
  type: content.type.optional(),
  from: moment.optional().meta({ description: 'Not before this moment' }),
  to: moment.optional().meta({ description: 'Not after this moment' }),
  import_id: z
    .uuid('is not the id of an import')
    .toLowerCase()
    .optional()
    .meta({ description: 'Only what came with this import' }),
});

/** Path of a transaction. */
export const transactionPath = portfolioPath.extend({ tid: z.string() });

const uuid = z.uuid();

/**
 * The id of the transaction in a path.
 * @throws {NotFoundError} it is no UUID, so there is no such transaction.
 */
export function transactionIdOf({ tid }: z.output<typeof transactionPath>): string {
  if (!uuid.safeParse(tid).success)
    throw new NotFoundError('There is no such transaction', 'transaction_not_found');
  return tid.toLowerCase();
}

/** What it may be is for the books to say. */
function toText(given: string | number, ctx: z.RefinementCtx): string {
  if (holdsItsDigits(given)) return canonicalQuantity(given) ?? String(given).trim();
  ctx.addIssue({ code: 'custom', message: digitsRule });
  return '';
}

/** What a client wrote, in the words of the desk. */
export function writtenOf({
  executed_at: executedAt,
  ...rest
}: z.output<typeof newTransactionBody>): WrittenTransaction & { readonly id?: string | undefined } {
  return { ...rest, executedAt };
}
