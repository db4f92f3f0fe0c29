/**
 * Turns fresh answers of providers into candles of five minutes. `observe` only adds to a map, so that waiting for a
 * price never means waiting for Postgres; at most once a second, one statement at a time, the map is written. A failed
 * statement is repeated together with what has come meanwhile: merging twice changes nothing. A killed process loses
 * what it has not written yet, a second or two.
 */
import type { CandleQueries } from './queries/candles.ts';
import { candleOf, mergeCandles, type Candle, type Observation } from '../../domain/candle.ts';
import { granularityMs } from '../../domain/history.ts';
import type { Quote } from '../../domain/quote.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

interface RecorderDeps {
  readonly candles: Pick<CandleQueries, 'mergeLive'>;
  readonly log: Logger;
  /** Called with the number of candles that had no room. */
  readonly onDropped?: (count: number) => void;
}

const flushMs = 1_000;
/** Pause after a failure (ms). */
const retryMs = 5_000;
const closeMs = 2_000;
/** Candles of one statement. */
const maxPerStatement = 5_000;
/** Candles in memory while Postgres is away, some 20 MB; beyond that, the oldest are dropped. */
const maxPending = 50_000;
/**
 * A value older than this (ms) by the source is not recorded: its hours have been rolled up, or it comes from a replay.
 */
const longestAgeMs = 3_600_000;
/** Tolerated difference of clocks (ms). */
const aheadMs = 60_000;

/** Writes the prices that a process observes into candles. */
export class TickRecorder {
  readonly #deps: RecorderDeps;
  #pending = new Map<string, Candle>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #closed = false;

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
  }

  /** Candles that are not written yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Takes the quotes of one answer. Never throws, never waits. */
  observe(quotes: readonly Quote[]): void {
    if (this.#closed) return;
    for (const quote of quotes) {
      const observation = observationOf(quote);
      if (observation !== undefined) this.#add(candleOf(observation, granularityMs['5m']));
    }
    this.#dropOverflow();
    this.#plan(flushMs);
  }

  /** Writes what is left, for at most two seconds. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const end = Date.now() + closeMs;
    const rest = async (): Promise<void> => {
      await this.#flushing;
      while (this.#pending.size > 0 && Date.now() < end) await this.#write();
    };
    await withDeadline(rest(), closeMs, 'writing the last candles').catch((error: unknown) => {
      this.#deps.log.warn(
        { reason: messageOf(error), candles: this.#pending.size },
        'price history of the last seconds before shutdown was not written to Postgres in time',
      );
    });
  }

  #add(candle: Candle): void {
    const key = `${candle.currency}:${candle.assetId}:${candle.openTime}`;
    const known = this.#pending.get(key);
    this.#pending.set(key, known === undefined ? candle : mergeCandles(known, candle));
  }

  #dropOverflow(): void {
    let dropped = 0;
    for (const key of this.#pending.keys()) {
      if (this.#pending.size <= maxPending) break;
      this.#pending.delete(key);
      dropped++;
    }
    if (dropped === 0) return;
    this.#deps.onDropped?.(dropped);
    this.#deps.log.warn(
      { candles: dropped },
      'price history was dropped: Postgres is down or too slow to store it (check Postgres); affected candles miss prices',
    );
  }

  #plan(ms: number): void {
    if (this.#timer !== undefined || this.#flushing !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flushing = this.#flush();
    }, ms);
    this.#timer.unref();
  }

  async #flush(): Promise<void> {
    let pauseMs = flushMs;
    try {
      await this.#write();
    } catch (error) {
      pauseMs = retryMs;
      this.#deps.log.debug(
        { reason: messageOf(error) },
        'candles could not be written; they are kept for the next attempt',
      );
    }
    this.#flushing = undefined;
    if (this.#pending.size > 0) this.#plan(pauseMs);
  }

  /** Takes a batch out and writes it; puts it back, merged with what has come meanwhile, when that fails. */
  async #write(): Promise<void> {
    const batch: Candle[] = [];
    for (const [key, candle] of this.#pending) {
      if (batch.length === maxPerStatement) break;
      batch.push(candle);
      this.#pending.delete(key);
    }
    try {
      await this.#deps.candles.mergeLive(batch);
    } catch (error) {
      for (const candle of batch) this.#add(candle);
      this.#dropOverflow();
      throw error;
    }
  }
}

/** The moment is the one that the source names; without one, that of the answer. Undefined for what is no news. */
function observationOf(quote: Quote): Observation | undefined {
  const { assetId, currency, price, marketCap, volume24h, source, receivedAt } = quote;
  const named = quote.asOf === null ? receivedAt : Date.parse(quote.asOf);
  const at = Number.isNaN(named) ? receivedAt : named;
  if (at < receivedAt - longestAgeMs || at > receivedAt + aheadMs) return undefined;
  return { assetId, currency, at, price, marketCap, volume: volume24h, source };
}
