import { z } from 'zod';
import { assetIdSchema, maxAssetsPerRequest } from '../../../jobs/registry.ts';
import { boundedArray, pageNumber, pageSize } from '../../platform/http/fields.ts';
import type { AssetDirectory } from './asset-directory.ts';

/** Finds the id that a text of a request stands for. */
export type AssetIdReader = Pick<AssetDirectory, 'idOf'>;

/** An asset id in a request; accepted with blanks around it and in any case, and converted to the listed spelling. */
export function assetIdField(assets: AssetIdReader) {
  return z
    .string()
    .overwrite(assets.idOf)
    .check(...(assetIdSchema.def.checks ?? []))
    .meta({ description: 'Asset id, such as bitcoin', examples: ['bitcoin'] });
}

/** Asset ids without duplicates, in the order of the answer. */
export function assetIdsField(assets: AssetIdReader) {
  return boundedArray(assetIdField(assets), maxAssetsPerRequest).superRefine((ids, ctx) => {
    const firstAt = new Map<string, number>();
    for (const [index, id] of ids.entries()) {
      const first = firstAt.get(id);
      if (first === undefined) firstAt.set(id, index);
      else ctx.addIssue({ code: 'custom', path: [index], message: `repeats element ${first}` });
    }
  });
}

const queryRule = 'must be a string of 1 to 100 characters';

/** Query of `GET /crypto/search`. */
export const searchQuery = z.strictObject({
  q: z
    .string({ error: queryRule })
    .trim()
    .min(1, queryRule)
    .max(100, queryRule)
    .meta({ description: 'Symbol, name or id, or part of one', examples: ['bitcoin'] }),
  limit: pageSize({ usual: 25, max: 250 }),
});

/** Query of `GET /crypto/coins`. */
export const assetsQuery = z.strictObject({
  page: pageNumber,
  limit: pageSize({ usual: 50, max: 250 }),
});

const symbolRule = 'must be a symbol of 1 to 100 characters';

/** Symbols without repetition, in whatever case, in the order of the answer. */
export const symbols = boundedArray(
  z
    .string({ error: symbolRule })
    .trim()
    .min(1, symbolRule)
    .max(100, symbolRule)
    .meta({ description: 'Symbol in upper or lower case, such as BTC', examples: ['btc'] }),
  maxAssetsPerRequest,
).superRefine((given, ctx) => {
  const firstAt = new Map<string, number>();
  for (const [index, symbol] of given.entries()) {
    const first = firstAt.get(symbol.toLowerCase());
    if (first === undefined) firstAt.set(symbol.toLowerCase(), index);
    else ctx.addIssue({ code: 'custom', path: [index], message: `repeats element ${first}` });
  }
});
