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

/** What is held at one version of the books. */
export interface Holdings {
  /** Assets to watch, each once. */
  readonly assetIds: readonly string[];
  /** JSON text of what it is worth; with the rows of some assets only where those are named. */
  render(readings: readonly QuoteReading[], changed?: readonly string[]): string;
}

/** A portfolio, as a stream follows it. */
export interface PortfolioSource {
  readonly portfolioId: string;
  readonly currency: string;
  /** What is held now; undefined when the portfolio is gone. Rejects when that cannot be told. */
  read(): Promise<Holdings | undefined>;
  /** Calls `onChange` when `read` may tell something else. Returns how to stop. */
  listen(onChange: () => void): () => void;
}

interface PortfolioStreamAsked extends SseRequest {
  readonly source: PortfolioSource;
  readonly intervalMs: number;
  /** Changes after which the stream ends; undefined for any number. */
  readonly maxUpdates: number | undefined;
}

interface PortfolioStreamRequest extends Pick<PortfolioStreamAsked, 'source' | 'intervalMs' | 'maxUpdates'> {
  readonly stream: SseStream;
  readonly hub: PriceHub;
  readonly log: Logger;
  readonly clock: Clock;
  readonly requester: string | undefined;
  readonly position: PricePosition | undefined;
  readonly load: PriceStreams['load'];
}

/** Prices come a little early rather than a whole gathering late (price-hub.ts). */
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
     * Takes the response over: `hello`, what the portfolio is worth, then what changes, until it is deleted or the client goes
     * away. Returns as soon as the head is written.
     * A client that comes back after its last update gets 204, which ends its EventSource.
     */
    open(asked: PortfolioStreamAsked): void {
      const { viewer, lastEventId, maxUpdates } = asked;
      const position = parsePosition(lastEventId);
      if (maxUpdates !== undefined && (position?.updates ?? 0) >= maxUpdates) {
        sendAway(asked);
        return;
      }
      const stream = realtime.open(asked);
      if (stream === undefined) return;
      const requester = requesterText(viewer);
      new PortfolioStream({
        ...asked,
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
  /** What is to be told as soon as the client takes it: these assets, or all that there is. */
  readonly #missed = new Set<string>();
  #owesAll = false;
  #isReading = false;
  #readAgain = false;
  #waiting: NodeJS.Timeout | undefined;
  /** When a change was last told (ms since the epoch). */
  #toldAt = 0;

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

  /** One at a time; what changes meanwhile is read after it. */
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
      // What has never been told cannot be stale: the client comes back. Else the next look finds the change again.
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

  /** Prices and transactions together keep to the interval: many of either may come one after another. */
  #flush(): void {
    const { stream, intervalMs, clock } = this.#request;
    if (!this.#owesAll && this.#missed.size === 0) return;
    if (!stream.isOpen || stream.pace() !== 'ready') return;
    const leftMs = Math.min(intervalMs, this.#toldAt + intervalMs - clock.now());
    if (leftMs <= earlyMs) {
      this.#tell(this.#owesAll ? undefined : [...this.#missed]);
      return;
    }
    this.#waiting ??= setTimeout(() => {
      this.#waiting = undefined;
      this.#flush();
    }, leftMs).unref();
  }

  #tell(changed: readonly string[] | undefined): void {
    const { stream, maxUpdates } = this.#request;
    if (this.#holdings === undefined || this.#watching === undefined) return;
    this.#owesAll = false;
    this.#missed.clear();
    this.#updates += 1;
    this.#toldAt = this.#request.clock.now();
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
