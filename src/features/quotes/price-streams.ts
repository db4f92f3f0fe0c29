/** Prices as streams, and as a topic of WebSockets. */
import { z } from 'zod';
import { requesterText } from '../../domain/requester.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { currency } from '../../platform/http/fields.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import { sendAway, type SseRequest, type SseStream } from '../../platform/realtime/sse-stream.ts';
import { longestIntervalSeconds } from '../../platform/realtime/stream-fields.ts';
import { assetIdField, type AssetIdReader } from '../assets/schemas.ts';
import { portfolioUpdate, type HoldingRow } from './aggregate.ts';
import { ConflatedWatch, type WatchUpdate } from './conflated-watch.ts';
import type { PriceHub, Watch, Watching } from './price-hub.ts';
import { WsPrices } from './ws-prices.ts';

/** Longest wait (ms) for quotes that this process does not have yet; then the stream starts without them. */
const loadDeadlineMs = 1_000;
/** Most coins that one connection may watch. An asset in two currencies counts twice. */
const maxCoins = 1_000;

/** How far a returning client has read. */
export interface PricePosition {
  /** Run of the process that served it. */
  readonly epoch: string;
  readonly seq: number;
  /** Number of updates it has received, if they are counted. */
  readonly updates: number;
}

const positionPattern = /^([\w-]{1,40})\.(\d{1,15})(?:\.(\d{1,9}))?$/;

/** Parses the id of the last event that a client has seen; undefined when it is not one of ours. */
export function parsePosition(lastEventId: string | undefined): PricePosition | undefined {
  const [, epoch, seq, updates = '0'] = positionPattern.exec(lastEventId ?? '') ?? [];
  return epoch === undefined ? undefined : { epoch, seq: Number(seq), updates: Number(updates) };
}

/** A request for a stream of prices. */
interface PriceStreamOptions extends SseRequest {
  readonly watch: Watch;
  /** With quantities: the stream also sends the value. */
  readonly holdings?: readonly HoldingRow[] | undefined;
  /** Send events `portfolio`, even without quantities. */
  readonly asPortfolio: boolean;
  /** Updates after which the stream ends; undefined for any number. */
  readonly maxUpdates: number | undefined;
}

export type PriceStreams = ReturnType<typeof createPriceStreams>;

/** Builds the streams of prices of an API process. */
export function createPriceStreams({
  assets,
  realtime,
  hub,
  clock,
}: {
  readonly assets: AssetIdReader;
  readonly realtime: Pick<Realtime, 'open' | 'registerTopic'>;
  readonly hub: PriceHub;
  readonly clock: Clock;
}) {
  /** Without Redis a stream starts with what this process has, and continues when the rest arrives. */
  async function load(of: string, assetIds: readonly string[]): Promise<void> {
    await withDeadline(hub.load(of, assetIds), loadDeadlineMs, 'loading quotes').catch(() => undefined);
  }

  const interval = z
    .int('must be a whole number of seconds')
    .min(1, 'must be at least 1')
    .max(longestIntervalSeconds, `must be at most ${longestIntervalSeconds}`)
    .default(1);
  realtime.registerTopic('coins', {
    most: maxCoins,
    tooMany: `A connection can watch at most ${maxCoins} coins`,
    item: assetIdField(assets),
    fields: { subscribe: { currency, interval }, unsubscribe: { currency } },
    hello: () => ({ epoch: hub.epoch, seq: hub.seq }),
    beat: () => ({ seq: hub.seq, source_age_seconds: hub.sourceAges() }),
    open: (stream) => {
      const requester = requesterText(stream.client.viewer);
      const write = (frame: Frame): void => stream.write(frame);
      return new WsPrices({ hub, requester, load, isReady: () => stream.isReady(), write });
    },
  });

  return {
    /** The hub in which prices are watched. */
    hub,
    /** Loads, within a bounded time, the quotes that the fleet has into this process. Never rejects. */
    load,

    /**
     * Takes over the response: `hello`, a snapshot, then changes. Settles when the snapshot is written. A client that returns
     * after its last update gets 204, which ends its EventSource.
     */
    async open(requested: PriceStreamOptions): Promise<void> {
      const { response, watch, maxUpdates, lastEventId } = requested;
      const position = parsePosition(lastEventId);
      if (maxUpdates !== undefined && (position?.updates ?? 0) >= maxUpdates) {
        sendAway(requested);
        return;
      }
      await load(watch.currency, watch.assetIds);
      if (response.destroyed) return;
      const stream = realtime.open(requested);
      if (stream === undefined) return;
      const serverTime = new Date(clock.now()).toISOString();
      new PriceStream({
        stream,
        hub,
        watch,
        render: rendererOf(requested),
        maxUpdates,
        position,
        serverTime,
      }).open();
    },
  };
}

/** JSON text of these assets, and of the total if the client wants it. */
type Render = (watching: Watching, assetIds: readonly string[]) => string;

function rendererOf({ holdings, asPortfolio }: PriceStreamOptions): Render | undefined {
  if (!asPortfolio) return undefined;
  return (watching, changed) =>
    holdings === undefined
      ? `{"portfolio":${watching.jsonOf(changed)}}`
      : portfolioUpdate(watching.readings(), holdings, changed);
}

interface PriceStreamRequest extends Pick<PriceStreamOptions, 'watch' | 'maxUpdates'> {
  readonly stream: SseStream;
  readonly hub: PriceHub;
  /** Makes events `portfolio`. Absent: quotes as they are, in frames that all clients share. */
  readonly render: Render | undefined;
  readonly position: PricePosition | undefined;
  readonly serverTime: string;
}

/**
 * One client's prices: `hello`, a snapshot of everything it watches, then changes. A slow client gets no more frames until it
 * has taken the pending ones; then what it missed is sent as one frame of the newest quotes. The sequence numbers in the ids
 * show the client that it has missed some.
 */
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
      // The newest quotes follow; nothing more of a price stream can be recovered.
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
      onUpdate: (update) => this.#onUpdate(conflated.watching, update),
    });
    stream.onClose(() => conflated.close());
    stream.whenReady(() => conflated.flush());
    // In the same turn as the start of the watch, so that no update is lost in between or comes earlier.
    stream.write(this.#frameOf(conflated.watching, assetIds, hub.seq));
  }

  #onUpdate(watching: Watching, { assetIds, frame }: WatchUpdate): void {
    const { stream, hub, maxUpdates, render } = this.#request;
    this.#updates += 1;
    if (render === undefined && maxUpdates === undefined) {
      stream.write(frame());
      return;
    }
    stream.write(this.#frameOf(watching, assetIds, hub.seq));
    if (maxUpdates !== undefined && this.#updates >= maxUpdates) stream.end('complete');
  }

  #frameOf(watching: Watching, assetIds: readonly string[], seq: number): Frame {
    const { render, maxUpdates, hub } = this.#request;
    if (render === undefined && maxUpdates === undefined) return watching.frameOf(assetIds);
    const id = `${hub.epoch}.${seq}${maxUpdates === undefined ? '' : `.${this.#updates}`}`;
    const data = render?.(watching, assetIds) ?? watching.jsonOf(assetIds);
    return new Frame({ type: render === undefined ? 'price' : 'portfolio', id, data });
  }
}
