import { z } from 'zod';
import { isQuoteCurrency, quoteCurrencies } from '../../domain/currencies.ts';

/** A quote currency that quotes can be had in; US dollars when absent. */
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

/** The page of a list that a request asks for. */
export const pageNumber = wholeNumber({ min: 1, max: 1_000_000 })
  .default(1)
  .meta({ description: 'Page number, starting at 1' });

/** How many rows a page has. */
export function pageSize({ usual, max }: { readonly usual: number; readonly max: number }) {
  return wholeNumber({ min: 1, max })
    .default(usual)
    .meta({ description: `Most rows in one response; default ${usual}, at most ${max}` });
}

/** A whole number in a query string. */
export function wholeNumber({ min, max }: { readonly min: number; readonly max: number }) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z.preprocess(
    (text) => (typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : text),
    z.int(message).min(min, message).max(max, message),
  );
}
