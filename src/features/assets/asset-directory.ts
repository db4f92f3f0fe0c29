/**
 * The assets that an API process knows, read from Postgres into memory so that neither a search nor a lookup asks anybody.
 * A worker that has stored a change says so over Redis; beside that the version in Postgres is looked at now and then, so
 * that a lost message costs a minute. Until a list was read the directory is empty and says so.
 */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import type { Asset } from '../../domain/asset.ts';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { createAssetIndex, searchable, type AssetIndex } from './asset-index.ts';
import type { AssetQueries } from './queries/assets.ts';

/** Which assets of a symbol are meant: the largest by market capitalisation, or all. */
type IncludeTokens = 'top' | 'all';

/** Lookups over the assets that are known now. */
export type AssetDirectory = ReturnType<typeof directoryOver>;

/** A directory that keeps itself current until it is closed. */
export type LiveAssetDirectory = ReturnType<typeof createAssetDirectory>;

interface DirectoryDeps {
  readonly source: Pick<AssetQueries, 'version' | 'page'>;
  readonly channel: { readonly listen: (onChange: () => void) => unknown };
  readonly log: Logger;
}

/** Time (ms) between two looks at the version, and while there is no list. */
const pollIntervalMs = 60_000;
const pollWhileEmptyMs = 5_000;
/** Assets that are read by one statement: few enough that making them ready delays nobody. */
const pageSize = 1_000;
/** More are not held; the real list has some 20,000. */
const maxAssets = 200_000;

/** Starts to keep the assets in memory. */
export function createAssetDirectory(deps: DirectoryDeps) {
  const keeper = new Keeper(deps);
  return {
    ...directoryOver(() => keeper.index),
    /** Settles when Postgres has been read for the first time, or after `ms` when it has not. */
    whenRead: (ms: number) => keeper.whenRead(ms),
    close: () => keeper.close(),
  };
}

/** A directory over the index that is current. */
export function directoryOver(index: () => AssetIndex) {
  /** What one symbol or name of a request stands for, the largest asset first; empty when nothing has it. */
  const meant = (requested: string, include: IncludeTokens, assets: readonly Asset[]) => ({
    requested,
    assets: include === 'top' ? assets.slice(0, 1) : assets,
  });
  const lookups: AssetIndex = {
    size: () => index().size(),
    ranked: () => index().ranked(),
    byId: (id) => index().byId(id),
    bySymbol: (symbol) => index().bySymbol(symbol),
    byName: (name) => index().byName(name),
    search: (text, limit) => index().search(text, limit),
    listed: (status) => index().listed(status),
  };
  return {
    ...lookups,
    /** False until a list of assets has been fetched and read; then nothing can be said of any asset. */
    isKnown: (): boolean => index().size() > 0,
    /** The id that a text of a request stands for: the listed one that is written so, else in small letters without blanks around it. */
    idOf: (text: string): string => {
      const trimmed = text.trim();
      return index().byId(trimmed) === undefined ? trimmed.toLowerCase() : trimmed;
    },
    /** The assets of each symbol, in whatever case, in the order asked. */
    bySymbols: (symbols: readonly string[], include: IncludeTokens) =>
      symbols.map((each) => meant(each, include, index().bySymbol(each))),
    /** The assets of each name, in whatever case, in the order asked. */
    byNames: (names: readonly string[], include: IncludeTokens) =>
      names.map((each) => meant(each, include, index().byName(each))),
  };
}

/**
 * The directory, if there is one.
 * @throws {UnavailableError} no list of coins has been fetched yet.
 */
export function known(assets: AssetDirectory): AssetDirectory {
  if (assets.isKnown()) return assets;
  throw new UnavailableError('The list of coins has not been fetched yet', {
    code: 'assets_unknown',
    retryAfterSeconds: 5,
  });
}

class Keeper {
  index: AssetIndex = createAssetIndex([]);
  readonly #deps: DirectoryDeps;
  /** Who waits for the first read. */
  readonly #waiting = new Set<() => void>();
  #isRead = false;
  #version = 0;
  #timer: NodeJS.Timeout | undefined;
  #polling = false;
  /** A change was announced while a look was under way: it may have come too late for that one. */
  #isChanged = false;
  #failing = false;
  #closed = false;

  constructor(deps: DirectoryDeps) {
    this.#deps = deps;
    deps.channel.listen(() => void this.#poll());
    void this.#poll();
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

  async #poll(): Promise<void> {
    if (this.#polling) {
      this.#isChanged = true;
      return;
    }
    this.#polling = true;
    this.#isChanged = false;
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
      this.#polling = false;
    }
    this.#planNext();
  }

  #planNext(): void {
    if (this.#closed) return;
    const usual = this.index.size() === 0 ? pollWhileEmptyMs : pollIntervalMs;
    this.#timer = setTimeout(() => void this.#poll(), this.#isChanged ? 0 : usual);
    this.#timer.unref();
  }

  async #readIfChanged(): Promise<void> {
    const { source, log } = this.#deps;
    // Asked before the rows are: what changes in between makes another version, and is read at the next look.
    const version = await source.version();
    if (version === this.#version) return;
    const placed: { readonly found: ReturnType<typeof searchable>; readonly position: number }[] = [];
    let after = '';
    while (placed.length < maxAssets) {
      const page = await source.page(after, pageSize);
      for (const { asset, position } of page) placed.push({ found: searchable(asset), position });
      after = page.at(-1)?.asset.id ?? after;
      if (page.length < pageSize) break;
      await yieldToEventLoop();
    }
    placed.sort((left, right) => left.position - right.position);
    this.index = createAssetIndex(placed.map(({ found }) => found));
    this.#version = version;
    log.debug({ assets: this.index.size(), version }, 'the list of assets was read');
  }
}
