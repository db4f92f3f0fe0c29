/**
 * Parameters as CoinGecko takes them, which is leniently: unknown ones are ignored, of a repeated one the last counts,
 * and an invalid number counts as absent. A missing required one gives `is required`.
 */
import { z } from 'zod';
import { assetIdForm } from '../../domain/asset-id.ts';
import { isQuoteCurrency, quoteCurrencies } from '../../domain/currencies.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { coinNotFound, invalidParameter } from '../../platform/http/v3-errors.ts';
import { type AssetDirectory, known } from '../assets/asset-directory.ts';
import { orders, type Precision } from './market-rows.ts';

/** Of a repeated parameter CoinGecko takes the last value; blanks around it are ignored. */
function lastText(given: unknown): string | undefined {
  const last: unknown = Array.isArray(given) ? given.at(-1) : given;
  const text = typeof last === 'string' ? last.trim() : '';
  return text === '' ? undefined : text;
}

/** Any text; undefined when absent or empty. */
function text(description: string) {
  return z.preprocess(lastText, z.string().optional()).optional().meta({ description });
}

/** Required text. */
export function requiredText(description: string) {
  return z.preprocess(lastText, z.string({ error: 'is required' })).meta({ description });
}

/** Required text, in lower case. */
export function requiredWord(description: string) {
  return z
    .preprocess((given) => lastText(given)?.toLowerCase(), z.string({ error: 'is required' }))
    .meta({ description });
}

/**
 * The parts of a comma-separated list: trimmed, in lower case or as `read` returns them, without empty parts and
 * duplicates.
 */
function listOf(
  given: unknown,
  read = (part: string): string => part.trim().toLowerCase(),
): readonly string[] | undefined {
  const distinct = new Set((lastText(given) ?? '').split(',').map(read));
  distinct.delete('');
  return distinct.size === 0 ? undefined : [...distinct];
}

/** A comma-separated list in lower case; undefined when absent or empty. */
function list(description: string) {
  return z
    .preprocess((given) => listOf(given), z.custom<readonly string[] | undefined>())
    .optional()
    .meta({ description, type: 'string' });
}

/** A required comma-separated list in lower case. */
export function requiredList(description: string) {
  return z
    .preprocess((given) => listOf(given), z.custom<readonly string[]>(Array.isArray, 'is required'))
    .meta({ description, type: 'string' });
}

/** The quote currency of a request; in lower case, known or not. */
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
    .meta({ description: `${description}; default ${String(fallback)}`, type: 'boolean' });
}

/** One of some words; anything else is as good as absent, which means `usual`. */
export function word<const W extends string>(words: readonly W[], description: string, usual?: W) {
  return z
    .preprocess(
      (given) => words.find((each) => each === lastText(given)?.toLowerCase()),
      z.enum(words).optional(),
    )
    .optional()
    .meta({
      description: `${description}: ${words.join(', ')}${usual === undefined ? '' : `; default ${usual}`}`,
    });
}

/** A count of 1 or more: more than `max` is `max`, and what is no count is `fallback`. */
function count(description: string, { fallback, max }: { readonly fallback: number; readonly max: number }) {
  const read = (given: unknown): number => {
    const said = lastText(given) ?? '';
    const value = /^\d{1,15}$/.test(said) ? Number(said) : 0;
    return value === 0 ? fallback : Math.min(value, max);
  };
  return z
    .preprocess(read, z.number())
    .optional()
    .transform((value) => value ?? fallback)
    .meta({ description: `${description}; default ${fallback}, at most ${max}`, type: 'integer' });
}

/** Decimal places of prices: `full`, or 0 to 18; anything else is as good as absent. */
export function precision() {
  return z
    .preprocess((given) => precisionOf(lastText(given)), z.custom<Precision>())
    .optional()
    .meta({
      description: 'Decimal places of prices: full, or 0 to 18; absent: six significant digits',
      type: 'string',
    });
}

/** Reads a `precision` parameter. */
function precisionOf(said: string | undefined): Precision {
  if (said === 'full') return 'full';
  const places = /^\d{1,2}$/.test(said ?? '') ? Number(said) : undefined;
  return places === undefined || places > 18 ? undefined : places;
}

/** @throws {AppError} 422 for a currency that CoinGecko does not price in. */
export function checkedCurrency(currency: string): string {
  if (!isQuoteCurrency(currency)) throw invalidParameter('invalid vs_currency');
  return currency;
}

/** Paths of CoinGecko in the place of an id. Those that are mirrored have routes of their own. */
const otherPaths: ReadonlySet<string> = new Set(['categories', 'list', 'markets', 'top_gainers_losers']);

/** @throws {AppError} 404 for what cannot be an asset id, and for paths of CoinGecko that are not mirrored. */
export function checkedId(text: string, assets: AssetDirectory): string {
  const id = assets.idOf(text);
  if (!assetIdForm.test(id)) throw coinNotFound();
  if (otherPaths.has(id)) throw new NotFoundError();
  return id;
}

/** @throws {AppError} 404 for an id that is not on the list of assets, once there is one. */
export function refuseUnlisted(assets: AssetDirectory, assetId: string): void {
  if (assets.isKnown() && assets.byId(assetId) === undefined) throw coinNotFound();
}

/** The parameters that name assets. */
export const selectionParams = {
  ids: z
    .preprocess((given) => listOf(given, (part) => part.trim()), z.custom<readonly string[] | undefined>())
    .optional()
    .meta({ description: 'Comma-separated asset ids', type: 'string' }),
  names: list('Comma-separated names of assets; used when there are no ids'),
  symbols: list('Comma-separated symbols; used when there are neither ids nor names'),
  include_tokens: word(['top', 'all'], 'Which assets a symbol names, the largest or all', 'top'),
};

/** CoinGecko's own limit of symbols with `include_tokens=all`. */
const maxSymbolsWithAll = 50;

/**
 * The ids that a request names, each once; undefined when it names none. An id that no provider can have is not among them.
 * @throws {AppError} 503 when names or symbols are given before the list of assets has come.
 */
export function selectedIds(
  {
    ids,
    names,
    symbols,
    include_tokens: include = 'top',
  }: Partial<z.output<z.ZodObject<typeof selectionParams>>>,
  assets: AssetDirectory,
): readonly string[] | undefined {
  if (ids !== undefined) return [...new Set(ids.map(assets.idOf))].filter((id) => assetIdForm.test(id));
  const wanted = names ?? symbols;
  if (wanted === undefined) return undefined;
  const directory = known(assets);
  const resolved =
    names === undefined
      ? directory.bySymbols(include === 'all' ? wanted.slice(0, maxSymbolsWithAll) : wanted, include)
      : directory.byNames(wanted, 'all');
  const found = resolved.flatMap((each) => each.assets.map(({ id }) => id));
  return [...new Set(found)].filter((id) => assetIdForm.test(id));
}

const locales = [
  'en',
  'de',
  'es',
  'fr',
  'it',
  'ja',
  'ko',
  'nl',
  'pl',
  'pt',
  'ru',
  'tr',
  'vi',
  'zh',
  'zh-tw',
] as const;
/** Windows of changes that CoinGecko has. */
export const changeWindows: readonly string[] = ['1h', '24h', '7d', '14d', '30d', '200d', '1y'];

/** Query of `/coins/markets`. */
export const marketsQuery = z.object({
  vs_currency: requiredCurrency(),
  ...selectionParams,
  category: text('Id of a category; takes precedence over ids, names and symbols'),
  order: word(orders, 'Order of the rows', 'market_cap_desc'),
  per_page: count('Rows on a page', { fallback: 100, max: 250 }),
  page: count('Page number, starting at 1', { fallback: 1, max: 1_000_000 }),
  sparkline: flag('Prices of the last seven days'),
  price_change_percentage: list(`Comma-separated windows of changes: ${changeWindows.join(', ')}`),
  locale: word(locales, 'Language of names', 'en'),
  precision: precision(),
  include_rehypothecated: flag('Include rehypothecated assets in the ranks'),
});

export type MarketsQuery = z.output<typeof marketsQuery>;
