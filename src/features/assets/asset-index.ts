/**
 * All assets of a list in memory, ready for lookups and search. An index is immutable: a new list makes a new index, and a
 * holder of the old one can keep using it. Search scans all assets in the order of their rank: with 20,000 of them that takes a
 * millisecond or two, and needs no more memory than one folded text for each.
 */
import { byRank, type Asset } from '../../domain/asset.ts';

/** Lookups over one list of assets. Only active assets are found, except by `byId`. */
export type AssetIndex = ReturnType<typeof createAssetIndex>;

/** An asset with its folded texts, which make up most of the work of an index. */
type SearchableAsset = ReturnType<typeof searchable>;

/** Longest text (characters) that is searched for; no name is longer. */
const longestQuery = 200;

const isPlain = /^[\x20-\x7e]*$/;
const marks = /\p{M}/gu;
const blanks = /\s+/g;

/**
 * A text in the form that search compares: without case and diacritics, with compatibility forms (full-width letters,
 * ligatures) written plainly; each run of blanks is one space, and there are none at the ends.
 */
export function fold(text: string): string {
  // Enough for most texts.
  if (isPlain.test(text))
    return (text.includes('  ') ? text.replace(blanks, ' ') : text).trim().toLowerCase();
  return text.normalize('NFKD').toLowerCase().replace(marks, '').replace(blanks, ' ').trim();
}

/** Folds the texts of an asset: symbol, name, and all of them with the id, one per line. */
export function searchable(asset: Asset) {
  const [symbol, name] = [fold(asset.symbol), fold(asset.name)];
  return { asset, symbol, name, text: `${symbol}\n${name}\n${fold(asset.id)}` };
}

/** Builds the index of assets that stand in the order of the provider's list. */
export function createAssetIndex(given: readonly SearchableAsset[]) {
  const assets = given.map(({ asset }) => asset);
  const active = assets.filter((asset) => asset.active);
  const inactive = assets.filter((asset) => !asset.active);
  const entries = given
    .filter(({ asset }) => asset.active)
    .sort((left, right) => byRank(left.asset, right.asset));
  const ranked = entries.map(({ asset }) => asset);
  const byId = new Map(assets.map((asset) => [asset.id, asset]));
  const bySymbol = new Map<string, Asset[]>();
  const byName = new Map<string, Asset[]>();
  for (const { asset, symbol, name } of entries) {
    append(bySymbol, symbol, asset);
    append(byName, name, asset);
  }
  return {
    /** Active assets. */
    size: (): number => active.length,
    /** The asset with exactly this id, inactive ones too. */
    byId: (id: string): Asset | undefined => byId.get(id),
    /** Assets with this symbol in whatever case, by rank. */
    bySymbol: (symbol: string) => found(bySymbol, symbol),
    /** Assets with this name in whatever case, by rank. */
    byName: (name: string) => found(byName, name),
    /**
     * At most `limit` assets in whose symbol, name or id `text` occurs, case and diacritics aside: first those with this very
     * symbol, then those with this very name or id, then those of which one starts with it, then the others; each by rank.
     */
    search: (text: string, limit: number) => search(entries, text, limit),
    /** Active assets by rank, those without one last. */
    ranked: (): readonly Asset[] => ranked,
    /** Active or inactive assets in the order of the provider's list; the same array at every call. */
    listed: (status: 'active' | 'inactive'): readonly Asset[] => (status === 'active' ? active : inactive),
  };
}

function append(map: Map<string, Asset[]>, key: string, asset: Asset): void {
  const held = map.get(key);
  if (held === undefined) map.set(key, [asset]);
  else held.push(asset);
}

const none: readonly Asset[] = [];

/** What has no name or symbol is not found by its lack. */
function found(map: ReadonlyMap<string, readonly Asset[]>, text: string): readonly Asset[] {
  const key = fold(text);
  return key === '' ? none : (map.get(key) ?? none);
}

function search(entries: readonly SearchableAsset[], given: string, limit: number): readonly Asset[] {
  if (given.length > longestQuery) return none;
  const query = fold(given);
  if (query === '') return none;
  const kindOf = kindsOf(query);
  const kinds: Asset[][] = [[], [], [], []];
  for (const { asset, text } of entries) {
    if (!text.includes(query)) continue;
    const kind = kinds[kindOf(text)];
    if (kind !== undefined && kind.length < limit) kind.push(asset);
  }
  return kinds.flat().slice(0, limit);
}

/** Tells how well a text fits that contains the query: 0 is best. */
function kindsOf(query: string): (text: string) => number {
  const firstLine = `${query}\n`;
  const line = `\n${query}\n`;
  const begin = `\n${query}`;
  return (text) => {
    if (text.startsWith(firstLine)) return 0;
    if (text.includes(line) || text.endsWith(begin)) return 1;
    return text.startsWith(query) || text.includes(begin) ? 2 : 3;
  };
}
