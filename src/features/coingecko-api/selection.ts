/** Which assets a request means: those of `ids`, else of `names`, else of `symbols`, as CoinGecko looks them up. */
import type { z } from 'zod';
import { assetIdSchema } from '../../../jobs/requests.ts';
import type { AppDeps } from '../../app-deps.ts';
import { known } from '../assets/asset-directory.ts';
import { list, word } from './params.ts';

/** The parameters that name assets. */
export const selectionParams = {
  ids: list('Comma-separated asset ids'),
  names: list('Comma-separated names of assets; counts when there are no ids'),
  symbols: list('Comma-separated symbols; counts when there are neither ids nor names'),
  include_tokens: word(['top', 'all'], 'Of symbols: the largest asset of each, or all'),
};

/** Which assets a request names. */
export type Selection = {
  readonly [P in keyof typeof selectionParams]?: z.output<(typeof selectionParams)[P]>;
};

/** CoinGecko's own limit of symbols with `include_tokens=all`. */
const mostSymbolsWithAll = 50;

/**
 * The ids that a request names, each once; undefined when it names none. An id that no provider can have is not among them.
 * @throws {AppError} 503 when names or symbols are given before the list of assets has come.
 */
export function selectedIds(
  { ids, names, symbols, include_tokens: include = 'top' }: Selection,
  assets: AppDeps['assets'],
): readonly string[] | undefined {
  if (ids !== undefined) return ids.filter((id) => assetIdSchema.safeParse(id).success);
  const wanted = names ?? symbols;
  if (wanted === undefined) return undefined;
  const directory = known(assets);
  const resolved =
    names === undefined
      ? directory.bySymbols(include === 'all' ? wanted.slice(0, mostSymbolsWithAll) : wanted, include)
      : directory.byNames(wanted, 'all');
  const found = resolved.flatMap((each) => each.assets.map(({ id }) => id));
  return [...new Set(found)].filter((id) => assetIdSchema.safeParse(id).success);
}
