/**
 * One client's prices: `hello`, a snapshot of all that it watches, then what changes. A client that does not keep up gets no
 * more frames until it has taken what it has; what it missed meanwhile becomes one frame of the newest quotes. It sees by the
 * sequence numbers in the ids that it has missed some.
 */
import { ConflatedWatch, type News } from './conflated-watch.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { PriceHub } from './price-hub.ts';
import type { Watch, Watching } from './price-watch.ts';
import type { SseStream } from '../../platform/realtime/sse-stream.ts';

/** How far a client that comes back has got. */
export interface PricePosition {
  /** Run of the process that served it. */
  readonly epoch: string;
  readonly seq: number;
  /** Updates it has had, where somebody counts them. */
  readonly updates: number;
}

const positionPattern = /^([\w-]{1,40})\.(\d{1,15})(?:\.(\d{1,9}))?$/;

/** Reads the id of the last event that a client has seen; undefined when it is none of ours. */
export function parsePosition(lastEventId: string | undefined): PricePosition | undefined {
  const [, epoch, seq, updates = '0'] = positionPattern.exec(lastEventId ?? '') ?? [];
  return epoch === undefined ? undefined : { epoch, seq: Number(seq), updates: Number(updates) };
}

/** Turns a watch into what this client is sent. */
export interface PriceView {
  /** Name of the event. */
  readonly type: string;
  /** JSON text about these assets, and about the whole where that is what the client wants. */
  render(watching: Watching, assetIds: readonly string[]): string;
}

export interface PriceStreamRequest {
  readonly stream: SseStream;
  readonly hub: PriceHub;
  readonly watch: Watch;
  /** Absent: quotes as they are, in frames that all clients share. */
  readonly view?: PriceView | undefined;
  /** Updates after which the stream ends; undefined for any number. */
  readonly maxUpdates: number | undefined;
  readonly position: PricePosition | undefined;
  readonly serverTime: string;
}

/** Opens the stream: from here on it runs by itself. */
export function runPriceStream(request: PriceStreamRequest): void {
  new PriceStream(request).open();
}

class PriceStream {
  readonly #request: PriceStreamRequest;
  #updates: number;

  constructor(request: PriceStreamRequest) {
    this.#request = request;
    this.#updates = request.position?.updates ?? 0;
  }

  open(): void {
    const { stream, hub, watch, position, serverTime } = this.#request;
    const { currency, assetIds, intervalMs } = watch;
    stream.hello({
      epoch: hub.epoch,
      seq: hub.seq,
      // The newest quotes follow, which is all of prices that can be recovered.
      recovered: position?.epoch === hub.epoch,
      currency,
      coins: assetIds,
      interval_seconds: intervalMs / 1000,
      server_time: serverTime,
    });
    const conflated = new ConflatedWatch({
      hub,
      watch,
      isReady: () => stream.isOpen && stream.pace() === 'ready',
      onNews: (news) => this.#onNews(conflated.watching, news),
    });
    stream.onClose(() => conflated.close());
    stream.whenReady(() => conflated.flush());
    // In the same turn as the beginning of the watch: no update falls between, and none comes before.
    stream.write(this.#frameOf(conflated.watching, assetIds, hub.seq));
  }

  #onNews(watching: Watching, { assetIds, frame }: News): void {
    const { stream, hub, maxUpdates, view } = this.#request;
    this.#updates += 1;
    if (view === undefined && maxUpdates === undefined) {
      stream.write(frame());
      return;
    }
    stream.write(this.#frameOf(watching, assetIds, hub.seq));
    if (maxUpdates !== undefined && this.#updates >= maxUpdates) stream.end('complete');
  }

  #frameOf(watching: Watching, assetIds: readonly string[], seq: number): Frame {
    const { view, maxUpdates, hub } = this.#request;
    if (view === undefined && maxUpdates === undefined) return watching.frameOf(assetIds);
    const id = `${hub.epoch}.${seq}${maxUpdates === undefined ? '' : `.${this.#updates}`}`;
    const type = view?.type ?? 'price';
    const data = view?.render(watching, assetIds) ?? watching.jsonOf(assetIds);
    return new Frame({ type, id, data });
  }
}
