import { z } from 'zod';
import { wholeNumber } from '../../../platform/http/fields.ts';

/** What of a portfolio can be exported. */
export const exportKinds = ['transactions', 'realised', 'positions'] as const;
export type ExportKind = (typeof exportKinds)[number];

/** Query of `GET /portfolios/:id/export`. */
export const exportQuery = z
  .strictObject({
    format: z.enum(['csv', 'json'], 'must be csv or json').default('csv'),
    kind: z
      .enum(exportKinds, `must be one of ${exportKinds.join(', ')}`)
      .default('transactions')
      .meta({
        description: 'transactions (which an import takes back), realised gains by lot, or positions',
      }),
    year: wholeNumber({ min: 2009, max: 2200 })
      .optional()
      .meta({ description: 'Of realised gains: those of one year of the time zone of the portfolio' }),
  })
  .refine(({ kind, year }) => year === undefined || kind === 'realised', {
    path: ['year'],
    message: 'has a meaning with the kind realised only',
  });
