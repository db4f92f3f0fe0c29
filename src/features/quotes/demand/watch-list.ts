/**
 * The assets that streams or alerts of this process watch, each listed once. Assets whose quotes have grown old are requested
 * again, as one demand for all watchers and only while somebody watches; those that are not renewed in time are reported as
 * stale.
 */
import type { Clock } from '../../../platform/concurrency/clock.ts';
import type { WantRequest } from './demand.ts';
import { messageOf } from '../../../domain/errors.ts';
import type { Logger } from '../../../platform/observability/logger.ts';

interface WatchListDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** When the held quote of an asset was received (ms since the epoch); undefined when there is none. */
  readonly receivedAt: (currency: string, assetId: string) => number | undefined;
  readonly want: (request: WantRequest) => Promise<unknown>;
  /** Age (ms) at which a watched quote is requested again. */
  readonly renewAfterMs: number;
  /** Age (ms) from which a quote is stale. */
  readonly freshMs: number;
  /** Called with the assets whose quote has just become stale. */
  readonly onStale: (currency: string, assetIds: readonly string[]) => void;
}

interface Watched {
  readonly currency: string;
  readonly assetId: string;
  /** Who started to watch, for usage. */
  readonly requester: string | undefined;
  watchers: number;
  /** When it was last requested (ms since the epoch). */
  wantedAt: number;
  /** Receipt (ms since the epoch) of the quote that was reported as stale. */
  staleAt: number | undefined;
}

/** Most assets that are requested at a time. */
const maxAtOnce = 250;
/**
 * An asset that was requested and has not arrived is requested again after this time (ms), because demand may have been lost
 * with Redis.
 */
const wantAgainMs = 5_000;

/** Counts who watches what. */
export class WatchList {
  readonly #deps: WatchListDeps;
  readonly #watched = new Map<string, Watched>();

  constructor(deps: WatchListDeps) {
    this.#deps = deps;
  }

  /** Distinct assets that are watched. */
  get size(): number {
    return this.#watched.size;
  }

  add(currency: string, assetIds: readonly string[], requester: string | undefined): void {
    for (const assetId of assetIds) {
      const key = keyOf(currency, assetId);
      const held = this.#watched.get(key);
      if (held !== undefined) held.watchers += 1;
      else
        this.#watched.set(key, {
          currency,
          assetId,
          requester,
          watchers: 1,
          wantedAt: 0,
          staleAt: undefined,
        });
    }
  }

  remove(currency: string, assetIds: readonly string[]): void {
    for (const assetId of assetIds) {
      const key = keyOf(currency, assetId);
      const held = this.#watched.get(key);
      if (held === undefined) continue;
      held.watchers -= 1;
      if (held.watchers === 0) this.#watched.delete(key);
    }
  }

  /** Requests assets whose quotes have grown old, and reports those that have become stale. Called every second. */
  poll(): void {
    const now = this.#deps.clock.now();
    const dueByRequester = new Map<string, Watched[]>();
    const stale = new Map<string, string[]>();
    for (const watched of this.#watched.values()) {
      const receivedAt = this.#deps.receivedAt(watched.currency, watched.assetId);
      if (this.#isDue(watched, receivedAt ?? 0, now))
        push(dueByRequester, `${watched.currency}/${watched.requester ?? ''}`, watched);
      if (this.#becomesStale(watched, receivedAt, now)) push(stale, watched.currency, watched.assetId);
    }
    for (const [currency, assetIds] of stale) this.#deps.onStale(currency, assetIds);
    for (const due of dueByRequester.values()) this.#want(due, now);
  }

  #isDue({ wantedAt }: Watched, receivedAt: number, now: number): boolean {
    if (now - receivedAt < this.#deps.renewAfterMs) return false;
    return receivedAt >= wantedAt || now - wantedAt >= wantAgainMs;
  }

  #becomesStale(watched: Watched, receivedAt: number | undefined, now: number): boolean {
    if (receivedAt === undefined || now - receivedAt < this.#deps.freshMs) return false;
    if (watched.staleAt === receivedAt) return false;
    watched.staleAt = receivedAt;
    return true;
  }

  #want(due: readonly Watched[], now: number): void {
    for (let from = 0; from < due.length; from += maxAtOnce) {
      const part = due.slice(from, from + maxAtOnce);
      const [first] = part;
      if (first === undefined) return;
      for (const watched of part) watched.wantedAt = now;
      const { currency, requester } = first;
      const wanted = {
        currency,
        assetIds: part.map(({ assetId }) => assetId),
        urgency: 'stream',
        freshAfter: now - this.#deps.renewAfterMs,
        ...(requester === undefined ? {} : { requester }),
      } as const;
      this.#deps.want(wanted).catch((error: unknown) => {
        this.#deps.log.debug({ reason: messageOf(error) }, 'watched assets could not be requested');
      });
    }
  }
}

function keyOf(currency: string, assetId: string): string {
  return `${currency}:${assetId}`;
}

function push<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
