/**
 * A watch whose client may not keep up. While it is behind, news is only noted; when it has caught up, what it missed goes out
 * at once, as the newest quotes.
 */
import type { Frame } from '../../platform/realtime/frame.ts';
import type { PriceHub, PriceUpdate, Watch, Watching } from './price-hub.ts';

/** What a client is to be told. */
export interface News {
  /** Assets that have changed. */
  readonly assetIds: readonly string[];
  /** The same as an event `price`; shared with other clients where nothing was missed. */
  readonly frame: () => Frame;
}

interface ConflatedWatchRequest {
  readonly hub: PriceHub;
  readonly watch: Watch;
  /** Whether the client takes more now. */
  readonly isReady: () => boolean;
  readonly onNews: (news: News) => void;
  /** Watched assets that the client has not got the newest of. */
  readonly owed?: Iterable<string>;
}

/** Begins to watch when it is made. */
export class ConflatedWatch {
  readonly watching: Watching;
  readonly #request: ConflatedWatchRequest;
  readonly #missed: Set<string>;

  constructor(request: ConflatedWatchRequest) {
    this.#request = request;
    this.#missed = new Set(request.owed);
    this.watching = request.hub.watch(request.watch, (update) => this.#onUpdate(update));
  }

  /** Watched assets whose newest quote the client has not got: what it missed, and what has not gone out yet. */
  owed(): string[] {
    return [...new Set([...this.#missed, ...this.watching.pending()])];
  }

  /** Sends what was missed, if the client takes it now. Called within a second after it does: the market may be silent then. */
  flush(): void {
    const { isReady, onNews } = this.#request;
    if (this.#missed.size === 0 || !isReady()) return;
    const assetIds = [...this.#missed];
    this.#missed.clear();
    onNews({ assetIds, frame: () => this.watching.frameOf(assetIds) });
  }

  close(): void {
    this.#missed.clear();
    this.watching.close();
  }

  #onUpdate(update: PriceUpdate): void {
    const { isReady, onNews } = this.#request;
    if (this.#missed.size === 0 && isReady()) {
      onNews(update);
      return;
    }
    for (const id of update.assetIds) this.#missed.add(id);
    this.flush();
  }
}
