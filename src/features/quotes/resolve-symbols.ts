/**
 * Which coins the symbols of a request mean. Symbols are not unique: the largest asset by market capitalisation is chosen, and
 * the choice is shown. An unknown symbol is an error of its own, and fails the request only when nothing is left to fetch.
 */
import { assetIdForm } from '../../domain/asset-id.ts';
import { maxAssetsPerRequest } from '../../../jobs/registry.ts';
import { type AssetDirectory, known } from '../assets/asset-directory.ts';
import type { Asset } from '../../domain/asset.ts';
import type { ResolvedSymbol } from '../../domain/job.ts';
import { ValidationError } from '../../domain/errors.ts';

/**
 * Resolves the symbols of a request.
 * @throws {UnavailableError} there are symbols, and no list of assets yet.
 * @throws {ValidationError} no symbol is known and no coin was given, or the request names too many assets in total.
 */
export function resolveSymbols(
  assets: AssetDirectory,
  {
    coins = [],
    symbols,
  }: {
    readonly coins?: readonly string[] | undefined;
    readonly symbols?: readonly string[] | undefined;
  },
): {
  /** Asset ids without duplicates: those given by id, then those the symbols resolve to. */
  readonly assetIds: string[];
  /** In the order of the symbols; undefined without symbols. */
  readonly resolved: readonly ResolvedSymbol[] | undefined;
} {
  if (symbols === undefined) return { assetIds: [...coins], resolved: undefined };
  const directory = known(assets);
  const resolved = symbols.map((symbol) => resolveOne(symbol, directory.bySymbol(symbol)));
  const assetIds = [...new Set([...coins, ...resolved.flatMap(({ id }) => id ?? [])])];
  if (assetIds.length === 0) refuse('none of these symbols is known');
  if (assetIds.length > maxAssetsPerRequest) {
    refuse(`with coins these are ${assetIds.length} coins; at most ${maxAssetsPerRequest} are allowed`);
  }
  return { assetIds, resolved };
}

function resolveOne(symbol: string, candidates: readonly Asset[]): ResolvedSymbol {
  const usable = candidates.filter(({ id }) => assetIdForm.test(id));
  const [best] = usable;
  if (best === undefined) {
    return { symbol, id: null, error: { code: 'symbol_not_found', message: 'no coin has this symbol' } };
  }
  return { symbol, id: best.id, name: best.name, rank: best.rank, others: usable.length - 1 };
}

function refuse(message: string): never {
  throw new ValidationError('The request is not valid', [{ field: 'symbols', message }]);
}
