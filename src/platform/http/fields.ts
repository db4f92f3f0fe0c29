import { z } from 'zod';
import { assetIdSchema, maxAssetsPerRequest } from '../../../jobs/registry.ts';
import { isQuoteCurrency, quoteCurrencies } from '../../domain/currencies.ts';

let exactIds: ReadonlySet<string> = new Set();

/**
 * Records which listed ids have capitals, so that these are accepted as written. Called whenever the list of assets was read.
 */
export function noteListedIds(ids: Iterable<string>): void {
  exactIds = new Set([...ids].filter((id) => id !== id.toLowerCase()));
}

/**
 * The asset id for a text in a request: the listed id with that spelling, else the text in lower case without surrounding
 * blanks.
 */
export function assetIdOf(text: string): string {
  const trimmed = text.trim();
  return exactIds.has(trimmed) ? trimmed : trimmed.toLowerCase();
}

/** An asset id in a request; accepted in any case and with surrounding blanks, and passed on as it is listed. */
export const coin = z
  .string()
  .overwrite(assetIdOf)
  .check(...(assetIdSchema.def.checks ?? []))
  .meta({ description: 'Asset id, such as bitcoin', examples: ['bitcoin'] });

/** A supported quote currency; US dollars when absent. */
export const currency = z
  .string()
  .trim()
  .toLowerCase()
  .refine(isQuoteCurrency, 'is not a supported currency')
  .default('usd')
  .meta({ description: `Quote currency: ${quoteCurrencies.join(', ')}`, examples: ['usd'] });

/** An array of at most `max` elements. The length is checked before the elements, so that an oversized body costs nothing. */
export function boundedArray<S extends z.ZodType>(element: S, max: number) {
  return z.preprocess((given, ctx) => {
    if (Array.isArray(given) && given.length > max) {
      ctx.addIssue({ code: 'custom', message: `has ${given.length} elements; at most ${max} are allowed` });
    }
    return given;
  }, z.array(element).min(1, 'must not be empty').max(max));
}

/** Asset ids without duplicates, in the order of the response. */
export const coins = boundedArray(coin, maxAssetsPerRequest).superRefine((ids, ctx) => {
  const firstAt = new Map<string, number>();
  for (const [index, id] of ids.entries()) {
    const first = firstAt.get(id);
    if (first === undefined) firstAt.set(id, index);
    else ctx.addIssue({ code: 'custom', path: [index], message: `repeats element ${first}` });
  }
});

/** A whole number in a query string. */
export function wholeNumber({ min, max }: { readonly min: number; readonly max: number }) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z.preprocess(
    (text) => (typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : text),
    z.int(message).min(min, message).max(max, message),
  );
}
