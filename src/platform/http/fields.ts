import { z } from 'zod';
import { assetIdSchema, maxAssetsPerRequest } from '../../../jobs/registry.ts';
import { isQuoteCurrency, quoteCurrencies } from '../../domain/currencies.ts';

let exactIds: ReadonlySet<string> = new Set();

/** Tells which listed ids have capitals: they are taken as they are written. Called whenever the list of assets was read. */
export function noteListedIds(ids: Iterable<string>): void {
  exactIds = new Set([...ids].filter((id) => id !== id.toLowerCase()));
}

/** The id that a text of a request stands for: the listed one that is written so, else in small letters without blanks around it. */
export function assetIdOf(text: string): string {
  const trimmed = text.trim();
  return exactIds.has(trimmed) ? trimmed : trimmed.toLowerCase();
}

/** An asset id in a request; taken with blanks around it and in whatever case, passed on as it is listed. */
export const coin = z
  .string()
  .overwrite(assetIdOf)
  .check(...(assetIdSchema.def.checks ?? []))
  .meta({ description: 'Asset id, such as bitcoin', examples: ['bitcoin'] });

/** A quote currency that quotes can be had in; US dollars when absent. */
export const currency = z
  .string()
  .trim()
  .toLowerCase()
  .refine(isQuoteCurrency, 'is not a supported currency')
  .default('usd')
  .meta({ description: `Quote currency: ${quoteCurrencies.join(', ')}`, examples: ['usd'] });

/**
 * An array of at most `max` elements. The length is checked before the elements are looked at, so that a body full of
 * them costs nothing.
 */
export function boundedArray<S extends z.ZodType>(element: S, max: number) {
  return z.preprocess((given, ctx) => {
    if (Array.isArray(given) && given.length > max) {
      ctx.addIssue({ code: 'custom', message: `has ${given.length} elements; at most ${max} are allowed` });
    }
    return given;
  }, z.array(element).min(1, 'must not be empty').max(max));
}

/** Asset ids without repetition, in the order of the answer. */
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
