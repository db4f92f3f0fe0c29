/** Which assets which subjects depend on, and that their quotes are kept fresh: an alert works though nobody reads the price. */
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { WatchList } from '../quotes/demand/watch-list.ts';
import type { Subject } from './subject.ts';

/** The quotes that this process holds. */
export interface AlertQuotes {
  get(currency: string, assetId: string): CachedQuote | undefined;
  /** Reads what is not held from the fleet's cache. Rejects when that does not answer. */
  load(currency: string, assetIds: readonly string[]): Promise<void>;
}

interface AssetWatchDeps {
  readonly quotes: AlertQuotes;
  readonly watchList: WatchList;
}

/** Quotes of one read. */
const batchSize = 250;

export class AssetWatch {
  readonly #deps: AssetWatchDeps;
  readonly #subjects = new Map<string, Set<Subject>>();
  readonly #assetsOf = new Map<Subject, ReadonlySet<string>>();
  /** Assets whose quote is to be looked for, by currency. */
  readonly #wanted = new Map<string, Set<string>>();

  constructor(deps: AssetWatchDeps) {
    this.#deps = deps;
  }

  subjectsOf(currency: string, assetId: string): Iterable<Subject> {
    return this.#subjects.get(`${currency}:${assetId}`) ?? [];
  }

  /** From now on a subject depends on these assets and no others. */
  set(subject: Subject, assetIds: readonly string[]): void {
    const { currency } = subject.of;
    const before = this.#assetsOf.get(subject) ?? new Set<string>();
    const after = new Set(assetIds);
    const added = assetIds.filter((id) => !before.has(id));
    const gone = [...before].filter((id) => !after.has(id));
    if (after.size === 0) this.#assetsOf.delete(subject);
    else this.#assetsOf.set(subject, after);
    for (const id of added) this.#add(subject, id);
    for (const id of gone) this.#remove(subject, id);
    if (added.length > 0) this.#deps.watchList.add(currency, added, subject.ownerId);
    if (gone.length > 0) this.#deps.watchList.remove(currency, gone);
  }

  /** Ticks may have been missed: every quote is looked for. */
  wantAll(): void {
    for (const key of this.#subjects.keys()) {
      const colon = key.indexOf(':');
      this.want(key.slice(0, colon), key.slice(colon + 1));
    }
  }

  /** The quote of an asset is to be looked for. */
  want(currency: string, assetId: string): void {
    const wanted = this.#wanted.get(currency) ?? new Set<string>();
    this.#wanted.set(currency, wanted);
    wanted.add(assetId);
  }

  /** Looks for the quotes that are wanted. Rejects when the cache does not answer; what is left is then looked for again. */
  async load(onQuote: (quote: CachedQuote) => void): Promise<void> {
    for (const [currency, wanted] of this.#wanted) {
      const assetIds = [...wanted];
      for (let from = 0; from < assetIds.length; from += batchSize) {
        const part = assetIds.slice(from, from + batchSize);
        await this.#deps.quotes.load(currency, part);
        this.#found(currency, part, onQuote);
      }
      if (wanted.size === 0) this.#wanted.delete(currency);
    }
  }

  #found(currency: string, assetIds: readonly string[], onQuote: (quote: CachedQuote) => void): void {
    for (const assetId of assetIds) {
      this.#wanted.get(currency)?.delete(assetId);
      const quote = this.#deps.quotes.get(currency, assetId);
      if (quote !== undefined) onQuote(quote);
    }
  }

  #add(subject: Subject, assetId: string): void {
    const { currency } = subject.of;
    const key = `${currency}:${assetId}`;
    const subjects = this.#subjects.get(key) ?? new Set();
    this.#subjects.set(key, subjects);
    subjects.add(subject);
    this.want(currency, assetId);
  }

  #remove(subject: Subject, assetId: string): void {
    const key = `${subject.of.currency}:${assetId}`;
    const subjects = this.#subjects.get(key);
    subjects?.delete(subject);
    if (subjects?.size === 0) this.#subjects.delete(key);
  }
}
