/**
 * The assets that an API process knows, read from Postgres into memory, so that searches and lookups need no query. A
 * worker that has stored a change announces it over Redis; in addition the version in Postgres is polled, so that a
 * lost message costs a minute. Until a list has been read the directory is empty and says so.
 */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import type { Asset } from '../../domain/asset.ts';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { createAssetIndex, searchable, type AssetIndex } from './asset-index.ts';
import type { AssetQueries } from './queries/assets.ts';

/** Which assets a symbol selects: the largest by market capitalisation, or all. */
type IncludeTokens = 'top' | 'all';

/** Lookups over the current list of assets. */
export type AssetDirectory = ReturnType<typeof directoryOver>;

/** A directory that keeps itself current until it is closed. */
export type LiveAssetDirectory = ReturnType<typeof createAssetDirectory>;

interface DirectoryDeps {
  readonly source: Pick<AssetQueries, 'version' | 'page'>;
  readonly channel: { readonly listen: (onChange: () => void) => unknown };
  readonly log: Logger;
}

/** Time (ms) between two polls of the version, and between attempts while there is no list. */
const pollIntervalMs = 60_000;
const pollWhileEmptyMs = 5_000;
/** Assets read by one statement: few enough that processing them delays no request. */
const pageSize = 1_000;
/** Most assets that are held; the real list has some 20,000. */
const maxAssets = 200_000;

/** Starts keeping the assets in memory. */
export function createAssetDirectory(deps: DirectoryDeps) {
  const keeper = new Keeper(deps);
  return {
    ...directoryOver(() => keeper.index),
    /** Settles when Postgres has been read for the first time, or after `ms` if it has not. */
    whenRead: (ms: number) => keeper.whenRead(ms),
    close: () => keeper.close(),
  };
}

/** A directory over the current index. */
export function directoryOver(index: () => AssetIndex) {
  /** The assets that one symbol or name of a request stands for, the largest first; empty if there are none. */
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
    /** False until a list of assets has been fetched and read; until then it is not known whether an asset exists. */
    isKnown: (): boolean => index().size() > 0,
    /**
     * The id that a text of a request stands for: a listed id that is written like this, else the text trimmed and in
     * lower case.
     */
    idOf: (text: string): string => {
      const trimmed = text.trim();
      return index().byId(trimmed) === undefined ? trimmed.toLowerCase() : trimmed;
    },
    /** The assets of each symbol, in any case, in the order of the request. */
    bySymbols: (symbols: readonly string[], include: IncludeTokens) =>
      symbols.map((each) => meant(each, include, index().bySymbol(each))),
    /** The assets of each name, in any case, in the order of the request. */
    byNames: (names: readonly string[], include: IncludeTokens) =>
      names.map((each) => meant(each, include, index().byName(each))),
  };
}

/**
 * The directory, if there is a list.
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
  /** Callers that wait for the first read. */
  readonly #waiting = new Set<() => void>();
  #isRead = false;
  #version = 0;
  #timer: NodeJS.Timeout | undefined;
  #polling = false;
  /** A change was announced during a poll, which may have missed it. */
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
        this.#deps.log.warn(
          { reason: messageOf(error) },
          'the list of coins cannot be read from Postgres: the last one read stays in use; retrying',
        );
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
    // Read before the rows: a change in between has another version, and is found by the next poll.
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
