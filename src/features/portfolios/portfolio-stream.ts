/**
 * What one client receives of a portfolio: `hello`, the value of the whole portfolio, then changes. Prices arrive as in a price
 * stream. When the books change, the holdings are read again, their assets watched, and the whole portfolio sent. A client that
 * does not keep up gets the newest state of what it missed in one event.
 */
import type { QuoteReading } from '../../domain/cached-quote.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { PriceHub, Watching } from '../quotes/price-hub.ts';
import { parsePosition, type PricePosition, type PriceStreams } from '../quotes/price-streams.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import { sendAway, type SseRequest, type SseStream } from '../../platform/realtime/sse-stream.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { requesterText } from '../../domain/requester.ts';

/** The holdings at one version of the books. */
export interface Holdings {
  /** Assets to watch, each once. */
  readonly assetIds: readonly string[];
  /** JSON text of the value; with the rows of all assets, or only of those in `changed`. */
  render(readings: readonly QuoteReading[], changed?: readonly string[]): string;
}

/** A portfolio that a stream follows. */
export interface PortfolioSource {
  readonly portfolioId: string;
  readonly currency: string;
  /** The current holdings; undefined when the portfolio is gone. Rejects when they cannot be read. */
  read(): Promise<Holdings | undefined>;
  /** Calls `onChange` when `read` may return something else. Returns a function that stops this. */
  listen(onChange: () => void): () => void;
}

interface PortfolioStreamOptions extends SseRequest {
  readonly source: PortfolioSource;
  readonly intervalMs: number;
  /** Changes after which the stream ends; undefined for any number. */
  readonly maxUpdates: number | undefined;
}

interface PortfolioStreamRequest extends Pick<
  PortfolioStreamOptions,
  'source' | 'intervalMs' | 'maxUpdates'
> {
  readonly stream: SseStream;
  readonly hub: PriceHub;
  readonly log: Logger;
  readonly clock: Clock;
  readonly requester: string | undefined;
  readonly position: PricePosition | undefined;
  readonly load: PriceStreams['load'];
}

/** Prices are sent a little early rather than a whole gathering interval late (price-hub.ts). */
const earlyMs = 100;

/** Builds the streams of portfolios of an API process. */
export function createPortfolioStreams({
  realtime,
  prices,
  clock,
  log,
}: {
  readonly realtime: Pick<Realtime, 'open'>;
  readonly prices: Pick<PriceStreams, 'hub' | 'load'>;
  readonly clock: Clock;
  readonly log: Logger;
}) {
  return {
    /**
     * Takes over the response: `hello`, the value of the portfolio, then changes, until it is deleted or the client
     * disconnects. Returns as soon as the headers are written. A client that returns after its last update gets 204, which ends
     * its EventSource.
     */
    open(requested: PortfolioStreamOptions): void {
      const { viewer, lastEventId, maxUpdates } = requested;
      const position = parsePosition(lastEventId);
      if (maxUpdates !== undefined && (position?.updates ?? 0) >= maxUpdates) {
        sendAway(requested);
        return;
      }
      const stream = realtime.open(requested);
      if (stream === undefined) return;
      const requester = requesterText(viewer);
      new PortfolioStream({
        ...requested,
        stream,
        hub: prices.hub,
        log,
        position,
        requester,
        clock,
        load: prices.load,
      }).open();
    },
  };
}

class PortfolioStream {
  readonly #request: PortfolioStreamRequest;
  #updates: number;
  #holdings: Holdings | undefined;
  #watching: Watching | undefined;
  /** What to send as soon as the client accepts it: these assets, or everything. */
  readonly #missed = new Set<string>();
  #owesAll = false;
  #isReading = false;
  #readAgain = false;
  #waiting: NodeJS.Timeout | undefined;
  /** When a change was last sent (ms since the epoch). */
  #sentAt = 0;

  constructor(request: PortfolioStreamRequest) {
    this.#request = request;
    this.#updates = request.position?.updates ?? 0;
  }

  open(): void {
    const { stream, hub, source, intervalMs, position, clock } = this.#request;
    stream.hello({
      epoch: hub.epoch,
      seq: hub.seq,
      // The newest value follows, which is all that can be recovered.
      recovered: position?.epoch === hub.epoch,
      portfolio: source.portfolioId,
      currency: source.currency,
      interval_seconds: intervalMs / 1000,
      server_time: new Date(clock.now()).toISOString(),
    });
    const stop = source.listen(() => void this.#read());
    stream.onClose(() => {
      stop();
      clearTimeout(this.#waiting);
      this.#watching?.close();
    });
    stream.whenReady(() => this.#flush());
    void this.#read();
  }

  /** One read at a time; changes during a read cause another one after it. */
  async #read(): Promise<void> {
    if (this.#isReading) {
      this.#readAgain = true;
      return;
    }
    this.#isReading = true;
    try {
      await this.#renew();
    } catch (error) {
      this.#request.log.debug({ reason: messageOf(error) }, 'the books of a stream could not be read');
      // If nothing has been sent yet, the client reconnects. Otherwise the next poll finds the change again.
      if (this.#holdings === undefined) this.#request.stream.end('fault');
    } finally {
      this.#isReading = false;
    }
    if (!this.#readAgain || !this.#request.stream.isOpen) return;
    this.#readAgain = false;
    void this.#read();
  }

  async #renew(): Promise<void> {
    const { stream, hub, source, intervalMs, requester, load } = this.#request;
    const holdings = await source.read();
    if (holdings === undefined) {
      this.#endOfPortfolio();
      return;
    }
    await load(source.currency, holdings.assetIds);
    if (!stream.isOpen) return;
    const isFirst = this.#holdings === undefined;
    this.#watching?.close();
    this.#missed.clear();
    this.#holdings = holdings;
    const watch = { currency: source.currency, assetIds: holdings.assetIds, intervalMs, requester };
    this.#watching = hub.watch(watch, ({ assetIds }) => {
      for (const id of assetIds) this.#missed.add(id);
      this.#flush();
    });
    if (isFirst) this.#write(holdings.render(this.#watching.readings()));
    else {
      this.#owesAll = true;
      this.#flush();
    }
  }

  /** Prices and transactions together keep to the interval, because many of either may come in a row. */
  #flush(): void {
    const { stream, intervalMs, clock } = this.#request;
    if (!this.#owesAll && this.#missed.size === 0) return;
    if (!stream.isOpen || stream.pace() !== 'ready') return;
    const leftMs = Math.min(intervalMs, this.#sentAt + intervalMs - clock.now());
    if (leftMs <= earlyMs) {
      this.#send(this.#owesAll ? undefined : [...this.#missed]);
      return;
    }
    this.#waiting ??= setTimeout(() => {
      this.#waiting = undefined;
      this.#flush();
    }, leftMs).unref();
  }

  #send(changed: readonly string[] | undefined): void {
    const { stream, maxUpdates } = this.#request;
    if (this.#holdings === undefined || this.#watching === undefined) return;
    this.#owesAll = false;
    this.#missed.clear();
    this.#updates += 1;
    this.#sentAt = this.#request.clock.now();
    this.#write(this.#holdings.render(this.#watching.readings(), changed));
    if (maxUpdates !== undefined && this.#updates >= maxUpdates) stream.end('complete');
  }

  #write(data: string): void {
    const { stream, hub, maxUpdates } = this.#request;
    const id = `${hub.epoch}.${hub.seq}${maxUpdates === undefined ? '' : `.${this.#updates}`}`;
    stream.write(new Frame({ type: 'portfolio', id, data }));
  }

  #endOfPortfolio(): void {
    const { stream, source } = this.#request;
    stream.write(
      new Frame({ type: 'portfolio.deleted', data: JSON.stringify({ portfolio: source.portfolioId }) }),
    );
    stream.end('complete');
  }
}
