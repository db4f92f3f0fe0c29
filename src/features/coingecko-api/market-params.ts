import { z } from 'zod';
import { orders } from './market-rows.ts';
import { count, flag, list, precision, requiredCurrency, text, word } from './params.ts';
import { selectionParams } from './selection.ts';

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
  category: text('Id of a category; counts before ids, names and symbols'),
  order: word(orders, 'Order of the rows'),
  per_page: count('Rows on a page', { fallback: 100, max: 250 }),
  page: count('Page, the first is 1', { fallback: 1, max: 1_000_000 }),
  sparkline: flag('Prices of the last seven days'),
  price_change_percentage: list(`Comma-separated windows of changes: ${changeWindows.join(', ')}`),
  locale: word(locales, 'Language of names'),
  precision: precision(),
  include_rehypothecated: flag('Ranks with rehypothecated assets too'),
});

export type MarketsQuery = z.output<typeof marketsQuery>;
