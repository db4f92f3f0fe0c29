/**
 * The assets that an API process knows, read from Postgres into memory so that neither a search nor a lookup asks anybody.
 * A worker that has stored a change says so over Redis; beside that the version in Postgres is looked at now and then, so
 * that a lost message costs a minute. Until a list was read the directory is empty and says so.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Asset } from '../../domain/asset.ts';
import type { AssetNews } from './asset-channel.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { createAssetIndex, searchable, type AssetIndex, type SearchableAsset } from './asset-index.ts';

/** What one symbol or name of a request stands for, the largest asset first; empty when nothing has it. */
export interface Resolution {
  /** As it was asked for. */
  readonly asked: string;
  readonly assets: readonly Asset[];
}

/** Which assets of a symbol are meant: the largest by market capitalisation, or all. */
export type IncludeTokens = 'top' | 'all';

/** Lookups over the assets that are known now. */
export interface AssetDirectory extends AssetIndex {
  /** False until a list of assets has been fetched and read; then nothing can be said of any asset. */
  isKnown(): boolean;
  /** The assets of each symbol, in whatever case, in the order asked. */
  bySymbols(symbols: readonly string[], include: IncludeTokens): readonly Resolution[];
  /** The assets of each name, in whatever case, in the order asked. */
  byNames(names: readonly string[], include: IncludeTokens): readonly Resolution[];
}

/** A directory that keeps itself current until it is closed. */
export interface LiveAssetDirectory extends AssetDirectory {
  /** Settles when Postgres has been read for the first time, or after `ms` when it has not. */
  whenRead(ms: number): Promise<void>;
  close(): void;
}

/** Where the assets come from. */
export interface AssetSource {
  /** Rises with every change; 0 before the first list. */
  version(): Promise<number>;
  /** At most `limit` assets whose ids follow `after` in the order of ids, with their places in the list. */
  page(after: string, limit: number): Promise<readonly PlacedAsset[]>;
}

/** An asset and its place in the provider's list. */
export interface PlacedAsset<A = Asset> {
  readonly asset: A;
  readonly position: number;
}

interface DirectoryDeps {
  readonly source: AssetSource;
  readonly news: Pick<AssetNews, 'listen'>;
  readonly log: Logger;
}

/** Time (ms) between two looks at the version, and while there is no list. */
const lookMs = 60_000;
const lookWhileEmptyMs = 5_000;
/** Assets that are read by one statement: few enough that making them ready delays nobody. */
const pageSize = 1_000;
/** More are not held; the real list has some 20,000. */
const maxAssets = 200_000;

/** Begins to keep the assets in memory. */
export function createAssetDirectory(deps: DirectoryDeps): LiveAssetDirectory {
  const keeper = new Keeper(deps);
  return Object.assign(
    directoryOver(() => keeper.index),
    { whenRead: (ms: number) => keeper.whenRead(ms), close: () => keeper.close() },
  );
}

/** A directory over whatever index is current. */
export function directoryOver(index: () => AssetIndex): AssetDirectory {
  return {
    isKnown: () => index().size() > 0,
    size: () => index().size(),
    ranked: () => index().ranked(),
    byId: (id) => index().byId(id),
    bySymbol: (symbol) => index().bySymbol(symbol),
    byName: (name) => index().byName(name),
    search: (text, limit) => index().search(text, limit),
    listed: (status) => index().listed(status),
    bySymbols: (symbols, include) => symbols.map((each) => meant(each, include, index().bySymbol(each))),
    byNames: (names, include) => names.map((each) => meant(each, include, index().byName(each))),
  };
}

function meant(asked: string, include: IncludeTokens, assets: readonly Asset[]): Resolution {
  return { asked, assets: include === 'top' ? assets.slice(0, 1) : assets };
}

class Keeper {
  index: AssetIndex = createAssetIndex([]);
  readonly #deps: DirectoryDeps;
  /** Who waits for the first read. */
  readonly #waiting = new Set<() => void>();
  #isRead = false;
  #version = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  /** A change was announced while a look was under way: it may have come too late for that one. */
  #isNews = false;
  #failing = false;
  #closed = false;

  constructor(deps: DirectoryDeps) {
    this.#deps = deps;
    deps.news.listen(() => void this.#look());
    void this.#look();
  }

  async whenRead(ms: number): Promise<void> {
    if (this.#isRead) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#isNews = true;
      return;
    }
    this.#looking = true;
    this.#isNews = false;
    clearTimeout(this.#timer);
    try {
      await this.#readIfChanged();
      this.#failing = false;
      this.#isRead = true;
      for (const end of this.#waiting) end();
    } catch (error) {
      if (!this.#failing && !this.#closed)
        this.#deps.log.warn({ reason: messageOf(error) }, 'the list of assets cannot be read');
      this.#failing = true;
    } finally {
      this.#looking = false;
    }
    this.#planNext();
  }

  #planNext(): void {
    if (this.#closed) return;
    const usual = this.index.size() === 0 ? lookWhileEmptyMs : lookMs;
    this.#timer = setTimeout(() => void this.#look(), this.#isNews ? 0 : usual);
    this.#timer.unref();
  }

  async #readIfChanged(): Promise<void> {
    const { source, log } = this.#deps;
    // Asked before the rows are: what changes in between makes another version, and is read at the next look.
    const version = await source.version();
    if (version === this.#version) return;
    const placed = await this.#readAll();
    placed.sort((left, right) => left.position - right.position);
    this.index = createAssetIndex(placed.map((each) => each.asset));
    this.#version = version;
    log.debug({ assets: this.index.size(), version }, 'the list of assets was read');
  }

  async #readAll(): Promise<PlacedAsset<SearchableAsset>[]> {
    const placed: PlacedAsset<SearchableAsset>[] = [];
    let after = '';
    while (placed.length < maxAssets) {
      const page = await this.#deps.source.page(after, pageSize);
      for (const { asset, position } of page) placed.push({ asset: searchable(asset), position });
      after = page.at(-1)?.asset.id ?? after;
      if (page.length < pageSize) break;
      await nextTurn();
    }
    return placed;
  }
}
