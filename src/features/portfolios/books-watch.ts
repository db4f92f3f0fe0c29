/**
 * Notifies watchers of changes in the books of portfolios. Messages may be lost, and a deleted portfolio sends none, so the
 * versions of all watched portfolios are polled now and then, in one query.
 */
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

/** Somebody who watches a portfolio. */
export interface BooksWatcher {
  /** The version of the books that the watcher knows; undefined as long as there is none. */
  readonly version: () => number | undefined;
  /** Called when there may be another version, or the portfolio may be gone. Must not throw. */
  readonly onChange: () => void;
}

/** Default time (ms) between two polls. */
const pollIntervalMs = 15_000;

/** Builds the watch of a process. */
export function createBooksWatch(deps: {
  readonly channel: { listen(onBooked: (portfolioId: string) => void): () => void };
  /** Current versions of the books; deleted portfolios are missing. */
  readonly versions: (ids: readonly string[]) => Promise<ReadonlyMap<string, number>>;
  readonly log: Logger;
  readonly pollIntervalMs?: number;
}) {
  const watchers = new Map<string, Set<BooksWatcher>>();
  const stopListening = deps.channel.listen((portfolioId) => {
    for (const { onChange } of watchers.get(portfolioId) ?? []) onChange();
  });

  async function poll(): Promise<void> {
    if (watchers.size === 0) return;
    try {
      const versions = await deps.versions([...watchers.keys()]);
      const all = [...watchers].flatMap(([id, each]) => [...each].map((watcher) => ({ id, watcher })));
      const behind = all.filter(({ id, watcher }) => watcher.version() !== versions.get(id));
      for (const { watcher } of behind) watcher.onChange();
    } catch (error) {
      deps.log.debug({ reason: messageOf(error) }, 'the versions of watched books could not be read');
    }
  }

  const polling = setInterval(() => void poll(), deps.pollIntervalMs ?? pollIntervalMs);
  polling.unref();

  return {
    /** Returns a function that stops the watch. */
    watch(portfolioId: string, watcher: BooksWatcher): () => void {
      const all = watchers.get(portfolioId) ?? new Set();
      watchers.set(portfolioId, all.add(watcher));
      return () => {
        all.delete(watcher);
        if (all.size === 0 && watchers.get(portfolioId) === all) watchers.delete(portfolioId);
      };
    },
    close(): void {
      clearInterval(polling);
      stopListening();
      watchers.clear();
    },
  };
}
