/**
 * A watch whose client may be slow. While the client is behind, changes are only noted; when it has caught up, the newest
 * quotes of everything it missed are sent at once.
 */
import type { Frame } from '../../platform/realtime/frame.ts';
import type { PriceHub, PriceUpdate, Watch, Watching } from './price-hub.ts';

/** An update for a client. */
export interface WatchUpdate {
  /** Assets that have changed. */
  readonly assetIds: readonly string[];
  /** The same as an event `price`; shared with other clients that missed nothing. */
  readonly frame: () => Frame;
}

interface ConflatedWatchRequest {
  readonly hub: PriceHub;
  readonly watch: Watch;
  /** Whether the client accepts more data now. */
  readonly isReady: () => boolean;
  readonly onUpdate: (update: WatchUpdate) => void;
  /** Watched assets whose newest quote the client does not have. */
  readonly owed?: Iterable<string>;
}

/** Starts to watch when it is created. */
export class ConflatedWatch {
  readonly watching: Watching;
  readonly #request: ConflatedWatchRequest;
  readonly #missed: Set<string>;

  constructor(request: ConflatedWatchRequest) {
    this.#request = request;
    this.#missed = new Set(request.owed);
    this.watching = request.hub.watch(request.watch, (update) => this.#onUpdate(update));
  }

  /** Watched assets whose newest quote the client does not have: what it missed, and what has not been sent yet. */
  owed(): string[] {
    return [...new Set([...this.#missed, ...this.watching.pending()])];
  }

  /**
   * Sends what was missed, if the client accepts it now. Must be called within a second after it does, because no tick may
   * come.
   */
  flush(): void {
    const { isReady, onUpdate } = this.#request;
    if (this.#missed.size === 0 || !isReady()) return;
    const assetIds = [...this.#missed];
    this.#missed.clear();
    onUpdate({ assetIds, frame: () => this.watching.frameOf(assetIds) });
  }

  close(): void {
    this.#missed.clear();
    this.watching.close();
  }

  #onUpdate(update: PriceUpdate): void {
    const { isReady, onUpdate } = this.#request;
    if (this.#missed.size === 0 && isReady()) {
      onUpdate(update);
      return;
    }
    for (const id of update.assetIds) this.#missed.add(id);
    this.flush();
  }
}
