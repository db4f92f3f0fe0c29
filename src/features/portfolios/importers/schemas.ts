import { transactionTypes } from '../../../domain/bookkeeping.ts';
import { z } from 'zod';
import { NotFoundError } from '../../../domain/errors.ts';
import { readOnError } from '../queries/imports.ts';
import { importFormats } from './read-report.ts';
import { portfolioPath } from '../schemas.ts';
import { assetIdField, type AssetIdReader } from '../../assets/schemas.ts';
import { callbackUrl } from '../../webhooks/schemas.ts';

const longestJson = 32_000;
const maxChoices = 500;
const maxTypes = 200;

/** A field of a form that holds JSON. */
function jsonText<S extends z.ZodType>(schema: S) {
  return z
    .string()
    .max(longestJson, `must have at most ${longestJson} characters`)
    .transform((text, ctx): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        ctx.addIssue({ code: 'custom', message: 'must be JSON' });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

const column = z.union([z.string().min(1).max(200), z.int().min(1).max(1_000)], {
  error: 'must be the name of a column, or its number from 1 on',
});
const optionalColumn = column.optional();

const numberStyle = z
  .strictObject({ decimal: z.enum(['.', ',']), thousands: z.enum([',', '.', ' ', "'"]).optional() })
  .refine(({ decimal, thousands }) => decimal !== thousands, 'decimal and thousands must differ');

const mapping = z.strictObject({
  columns: z
    .strictObject({
      time: column,
      type: column,
      receivedSymbol: optionalColumn,
      receivedQuantity: optionalColumn,
      sentSymbol: optionalColumn,
      sentQuantity: optionalColumn,
      // The former names of these two.
      givenSymbol: optionalColumn,
      givenQuantity: optionalColumn,
      feeSymbol: optionalColumn,
      feeQuantity: optionalColumn,
      value: optionalColumn,
      valueCurrency: optionalColumn,
      note: optionalColumn,
      id: optionalColumn,
    })
    .transform(({ givenSymbol, givenQuantity, ...columns }) => ({
      ...columns,
      sentSymbol: columns.sentSymbol ?? givenSymbol,
      sentQuantity: columns.sentQuantity ?? givenQuantity,
    })),
  types: z
    .record(z.string().max(100), z.enum(['trade', ...transactionTypes]))
    .refine((types) => Object.keys(types).length <= maxTypes, `may have ${maxTypes} words at most`),
  numbers: numberStyle.optional(),
});

const symbols = (assets: AssetIdReader) =>
  z
    .record(z.string().trim().min(1).max(100), assetIdField(assets))
    .refine((choices) => Object.keys(choices).length <= maxChoices, `may have ${maxChoices} symbols at most`);

/** How to import a file: the query of a bare file, or the fields of a form. */
export const importQuery = (assets: AssetIdReader) =>
  z.strictObject({
    format: z
      .enum(importFormats, `must be one of ${importFormats.join(', ')}`)
      .optional()
      .meta({
        description:
          'Format of the file; auto (the default) detects it from the header row. generic is any other CSV and needs mapping',
      }),
    mapping: jsonText(mapping)
      .optional()
      .meta({
        description:
          'Only for generic, as JSON: columns (the name or number of the column of each field: time, type, receivedSymbol, ' +
          'receivedQuantity, sentSymbol, sentQuantity, feeSymbol, feeQuantity, value, valueCurrency, note, id) and types (what each ' +
          'word in the type column means: trade or a transaction type)',
      }),
    symbols: jsonText(symbols(assets)).optional().meta({
      description:
        'As JSON: asset ids by symbol, such as {"LUNA":"terra-luna"}, for symbols that do not mean the largest asset with that symbol',
    }),
    dry_run: z
      .enum(['true', 'false'], 'must be true or false')
      .transform((text) => text === 'true')
      .optional()
      .meta({ description: 'true: report what the import would do, and store nothing; default false' }),
    on_error: z
      .enum(['skip', 'abort', 'keep_good', 'nothing'], 'must be skip or abort')
      .transform(readOnError)
      .optional()
      .meta({
        description:
          'If rows cannot be read: skip (the default) imports the others, abort imports nothing. keep_good and nothing are their former names',
      }),
    callback_url: callbackUrl,
  });

const text = { type: 'string' } as const;

/** The bodies of an upload, as JSON schemas. */
export const importBodies = (options: ReturnType<typeof importQuery>) => ({
  'multipart/form-data': {
    type: 'object',
    required: ['file'],
    properties: {
      file: { type: 'string', format: 'binary' },
      ...Object.fromEntries(Object.keys(options.shape).map((name) => [name, text])),
    },
  },
  'text/csv': text,
});

/** Path of an import. */
export const importPath = portfolioPath.extend({
  importId: z.string().meta({ description: 'Id of the import (UUID)' }),
});

const uuid = z.uuid();

/**
 * The id of an import in a path.
 * @throws {NotFoundError} it is not a UUID, so there is no such import.
 */
export function importIdOf({ importId }: z.output<typeof importPath>): string {
  if (!uuid.safeParse(importId).success) throw new NotFoundError('Import not found', 'import_not_found');
  return importId.toLowerCase();
}
