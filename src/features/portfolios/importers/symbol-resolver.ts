/**
 * Resolves each symbol of a report to an asset: the one that the user chose in the request or earlier, or the largest with that
 * symbol.
 */
import type { AssetService } from '../../assets/asset-service.ts';

/** The asset that a symbol was resolved to. */
export interface TakenSymbol {
  readonly id: string;
  /** Null when the asset is not in the list. */
  readonly name: string | null;
  /** Number of other assets with this symbol. */
  readonly others: number;
  /** Where the choice comes from: the request, an earlier one, or the list of assets. */
  readonly by: 'request' | 'remembered' | 'list';
}

/** No asset has a longer symbol (characters). */
const longestSymbol = 100;
/** Most symbols listed in a result. */
const maxReported = 2_000;

/** Remembers the symbols that it resolved. */
export class SymbolResolver {
  readonly #deps: ConstructorParameters<typeof SymbolResolver>[0];
  readonly #taken = new Map<string, TakenSymbol | undefined>();

  constructor(deps: {
    /** Where symbols are looked up. */
    readonly source: Pick<
      Pick<AssetService['list'], 'find' | 'identities' | 'isKnown'>,
      'find' | 'identities'
    >;
    /** Asset ids by symbol in upper case: from the request, and from earlier ones. */
    readonly requested: ReadonlyMap<string, string>;
    readonly remembered: ReadonlyMap<string, string>;
  }) {
    this.#deps = deps;
  }

  /** Looks up symbols before they are resolved. */
  async prepare(symbols: Iterable<string>): Promise<void> {
    const keys = new Set<string>();
    for (const symbol of symbols) {
      const key = keyOf(symbol);
      if (!this.#taken.has(key) && symbol.length <= longestSymbol) keys.add(key);
    }
    if (keys.size === 0) return;
    const { source } = this.#deps;
    const found = await source.find([...keys].map((key) => key.toLowerCase()));
    const bySymbol = new Map(found.map((match) => [keyOf(match.symbol), match]));
    const chosen = [...keys].flatMap((key) => this.#choiceOf(key)?.id ?? []);
    const identities = chosen.length === 0 ? [] : await source.identities(chosen);
    const names = new Map(identities.map(({ assetId, name }) => [assetId, name]));
    for (const key of keys) {
      const choice = this.#choiceOf(key);
      const match = bySymbol.get(key);
      this.#taken.set(
        key,
        choice === undefined
          ? match && { id: match.id, name: match.name, others: match.others, by: 'list' }
          : { ...choice, name: names.get(choice.id) ?? null, others: othersThan(choice.id, match) },
      );
    }
  }

  /** The id of an asset; undefined when the symbol is unknown. */
  idOf(symbol: string): string | undefined {
    return this.#taken.get(keyOf(symbol))?.id;
  }

  /** The resolved symbols. */
  reported(): Readonly<Record<string, TakenSymbol>> {
    const known = [...this.#taken].flatMap(([key, taken]) => (taken === undefined ? [] : [[key, taken]]));
    return Object.fromEntries(known.slice(0, maxReported)) as Record<string, TakenSymbol>;
  }

  #choiceOf(key: string): Pick<TakenSymbol, 'id' | 'by'> | undefined {
    const requested = this.#deps.requested.get(key);
    if (requested !== undefined) return { id: requested, by: 'request' };
    const remembered = this.#deps.remembered.get(key);
    return remembered === undefined ? undefined : { id: remembered, by: 'remembered' };
  }
}

/** Symbols are compared without case. */
function keyOf(symbol: string): string {
  return symbol.toUpperCase();
}

function othersThan(
  id: string,
  match: Awaited<ReturnType<AssetService['list']['find']>>[number] | undefined,
): number {
  if (match === undefined) return 0;
  return match.id === id ? match.others : match.others + 1;
}
