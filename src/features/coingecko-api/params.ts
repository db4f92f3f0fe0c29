/**
 * Parameters as CoinGecko takes them, which is leniently: unknown ones are passed over, of a repeated one the last counts,
 * and a number that is none is as good as absent. What must be there and is not says `is required`.
 */
import { z } from 'zod';
import { quoteCurrencies } from '../../domain/currencies.ts';
import type { Precision } from './numbers.ts';

/** CoinGecko takes a repeated parameter for its last value; blanks around it mean nothing. */
function lastText(given: unknown): string | undefined {
  const last: unknown = Array.isArray(given) ? given.at(-1) : given;
  const text = typeof last === 'string' ? last.trim() : '';
  return text === '' ? undefined : text;
}

/** Any text; undefined when absent or empty. */
export function text(description: string) {
  return z.preprocess(lastText, z.string().optional()).optional().meta({ description });
}

/** Text that must be there. */
export function requiredText(description: string) {
  return z.preprocess(lastText, z.string({ error: 'is required' })).meta({ description });
}

/** The parts of a comma-separated list: trimmed, in lower case, without empty parts and repetitions. */
function listOf(given: unknown): readonly string[] | undefined {
  const parts = (lastText(given) ?? '').toLowerCase().split(',');
  const distinct = new Set(parts.map((part) => part.trim()));
  distinct.delete('');
  return distinct.size === 0 ? undefined : [...distinct];
}

/** A comma-separated list in lower case; undefined when absent or empty. */
export function list(description: string) {
  return z
    .preprocess(listOf, z.custom<readonly string[] | undefined>())
    .optional()
    .meta({ description, type: 'string' });
}

/** A comma-separated list in lower case that must be there. */
export function requiredList(description: string) {
  return z
    .preprocess(listOf, z.custom<readonly string[]>(Array.isArray, 'is required'))
    .meta({ description, type: 'string' });
}

/** The quote currency of a request that takes one; in lower case, known or not. */
export function requiredCurrency() {
  return z
    .preprocess((given) => lastText(given)?.toLowerCase(), z.string({ error: 'is required' }))
    .meta({ description: `Quote currency: ${quoteCurrencies.join(', ')}`, examples: ['usd'] });
}

const yes: ReadonlySet<string> = new Set(['true', '1', 'yes', 'on', 't']);

/** True or false; anything that does not say yes says no. */
export function flag(description: string, fallback = false) {
  return z
    .preprocess((given) => {
      const said = lastText(given)?.toLowerCase();
      return said === undefined ? fallback : yes.has(said);
    }, z.boolean())
    .optional()
    .transform((value) => value ?? fallback)
    .meta({ description: `${description}; ${String(fallback)} when absent`, type: 'boolean' });
}

/** One of some words; anything else is as good as absent. */
export function word<const W extends string>(words: readonly W[], description: string) {
  return z
    .preprocess(
      (given) => words.find((each) => each === lastText(given)?.toLowerCase()),
      z.enum(words).optional(),
    )
    .optional()
    .meta({ description: `${description}: ${words.join(', ')}` });
}

interface CountRule {
  readonly fallback: number;
  readonly max: number;
}

/** A count of 1 or more: more than `max` is `max`, and what is no count is `fallback`. */
export function count(description: string, { fallback, max }: CountRule) {
  const read = (given: unknown): number => {
    const said = lastText(given) ?? '';
    const value = /^\d{1,15}$/.test(said) ? Number(said) : 0;
    return value === 0 ? fallback : Math.min(value, max);
  };
  return z
    .preprocess(read, z.number())
    .optional()
    .transform((value) => value ?? fallback)
    .meta({ description: `${description}; ${fallback} when absent, ${max} at most`, type: 'integer' });
}

/** Decimal places of prices: `full`, or 0 to 18; anything else is as good as absent. */
export function precision() {
  return z
    .preprocess((given) => precisionOf(lastText(given)), z.custom<Precision>())
    .optional()
    .meta({ description: 'Decimal places of prices: full, or 0 to 18', type: 'string' });
}

/** Reads a `precision` parameter. */
function precisionOf(said: string | undefined): Precision {
  if (said === 'full') return 'full';
  const places = /^\d{1,2}$/.test(said ?? '') ? Number(said) : undefined;
  return places === undefined || places > 18 ? undefined : places;
}
