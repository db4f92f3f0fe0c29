/**
 * Prices from one source to many clients. Ticks mark assets as changed; at most ten times a second, the changes are sent.
 * Clients that watch the same assets at the same interval form a *group*: an update is serialised once and written to each of
 * them as one buffer, however many assets have changed. So a tick costs one write per client, and clients get only the newest
 * quote: an asset that changes twice between two writes is sent once.
 *
 * Only observations are sent. An asset is sent again when a newer quote has arrived, or when its state has changed (a quote
 * that is not renewed becomes `stale`, an asset is found not to exist), and at no other time.
 */
import { type QuoteReading, freshness, readingJson } from '../../domain/cached-quote.ts';
import type { Tick, TickSubscriber } from './ticks.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { LocalCache } from './local-cache.ts';
import type { QuoteReader } from './quote-reader.ts';
import type { WantRequest } from './demand/demand.ts';
import { WatchList } from './demand/watch-list.ts';
import type { Logger } from '../../platform/observability/logger.ts';

/** What a client watches. */
export interface Watch {
  readonly currency: string;
  /** Without repetition. */
  readonly assetIds: readonly string[];
  /** Minimum time (ms) between two updates. */
  readonly intervalMs: number;
  /** Who is charged for the calls that keep the assets fresh. */
  readonly requester?: string | undefined;
}

/** An update of a group. */
export interface PriceUpdate {
  /** Rises with every update of this process. */
  readonly seq: number;
  /** Assets that have changed. */
  readonly assetIds: readonly string[];
  /** The changed assets as an event `price`, for all clients that missed nothing else. */
  readonly frame: () => Frame;
}

/** A client's view of its watch. */
export interface Watching {
  /** Readings of all watched assets now. */
  readings(): readonly QuoteReading[];
  /** JSON list of these assets as they are now. */
  jsonOf(assetIds: readonly string[]): string;
  /** An event `price` with the current state of these assets. */
  frameOf(assetIds: readonly string[]): Frame;
  /** Watched assets whose newest reading has not been sent yet: a client that leaves now would miss it. */
  pending(): readonly string[];
  close(): void;
}

export interface PriceHub {
  /** Id of this run of the process: positions of another run are not valid here. */
  readonly epoch: string;
  /** Sequence number of the newest update. */
  readonly seq: number;
  /** Seconds since the last quote of each source. */
  sourceAges(): Readonly<Record<string, number>>;
  /** Loads what the fleet knows of the assets into this process, so that a snapshot has it. */
  load(currency: string, assetIds: readonly string[]): Promise<void>;
  /** Starts to watch; `onUpdate` is called from now on. It must not throw. */
  watch(watch: Watch, onUpdate: (update: PriceUpdate) => void): Watching;
  /** Distinct assets that are watched. */
  watched(): number;
  close(): void;
}

export interface PriceHubDeps {
  /** The quotes that this process holds. */
  readonly quotes: Pick<LocalCache, 'get' | 'failure'> & Pick<QuoteReader, 'load'>;
  readonly ticks: TickSubscriber;
  readonly clock: Clock;
  readonly log: Logger;
  readonly want: (request: WantRequest) => Promise<unknown>;
  readonly freshMs: number;
  readonly renewAfterMs: number;
  readonly epoch: string;
}

/** Minimum time (ms) between two rounds of sending. */
const gatherMs = 100;
/**
 * After a quiet period, changes are gathered only for this time (ms): the rest of what one call fetched has arrived by then.
 */
const firstGatherMs = 20;
const pollIntervalMs = 1_000;
const sourceField = /"source":"([^"\\]{1,64})"/;

/** Builds the {@link PriceHub} of a process. */
export function createPriceHub(deps: PriceHubDeps): PriceHub {
  return new GroupingHub(deps);
}

class GroupingHub implements PriceHub {
  readonly epoch: string;
  readonly #deps: PriceHubDeps;
  readonly #groups: PriceGroups;
  readonly #dirtyGroups = new Set<PriceGroup>();
  readonly #watchList: WatchList;
  readonly #sources = new Map<string, number>();
  readonly #stopListening: () => void;
  readonly #polling: NodeJS.Timeout;
  #gathering: NodeJS.Timeout | undefined;
  /** When changes last went out (ms since the epoch). */
  #flushedAt = 0;
  #seq = 0;

  constructor(deps: PriceHubDeps) {
    this.#deps = deps;
    this.epoch = deps.epoch;
    this.#groups = new PriceGroups((currency, id) => signatureOf(this.#reading(currency, id)));
    this.#watchList = new WatchList({
      ...deps,
      receivedAt: (currency, assetId) => deps.quotes.get(currency, assetId)?.receivedAt,
      onStale: (currency, assetIds) => assetIds.forEach((id) => this.#mark(currency, id)),
    });
    this.#stopListening = deps.ticks.listen({
      onTick: (tick) => this.#onTick(tick),
      onGap: () => void this.#refill(),
    });
    this.#polling = setInterval(() => this.#watchList.poll(), pollIntervalMs);
    this.#polling.unref();
  }

  get seq(): number {
    return this.#seq;
  }

  sourceAges(): Readonly<Record<string, number>> {
    const now = this.#deps.clock.now();
    return Object.fromEntries(
      [...this.#sources].map(([source, at]) => [source, Math.round((now - at) / 1000)]),
    );
  }

  async load(currency: string, assetIds: readonly string[]): Promise<void> {
    await this.#deps.quotes.load(currency, assetIds);
  }

  watched(): number {
    return this.#watchList.size;
  }

  watch(watch: Watch, onUpdate: (update: PriceUpdate) => void): Watching {
    const { currency, assetIds, requester } = watch;
    const group = this.#groups.of(watch);
    group.members.add(onUpdate);
    this.#watchList.add(currency, assetIds, requester);
    let isOpen = true;
    return {
      readings: () => assetIds.map((id) => this.#reading(currency, id)),
      jsonOf: (ids) => this.#json(currency, ids),
      frameOf: (ids) => this.#frame(currency, ids, this.#seq),
      pending: () =>
        [...group.dirty].filter((id) => group.sent.get(id) !== signatureOf(this.#reading(currency, id))),
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#watchList.remove(currency, assetIds);
        if (this.#groups.leave(group, onUpdate)) this.#dirtyGroups.delete(group);
      },
    };
  }

  close(): void {
    clearInterval(this.#polling);
    clearTimeout(this.#gathering);
    this.#stopListening();
  }

  #onTick({ currency, quotes, failures }: Tick): void {
    const [first] = quotes;
    const source = first === undefined ? undefined : sourceField.exec(first.head)?.[1];
    if (source !== undefined && first !== undefined) this.#sources.set(source, first.receivedAt);
    for (const { assetId } of quotes) this.#mark(currency, assetId);
    for (const { assetId } of failures) this.#mark(currency, assetId);
  }

  #mark(currency: string, assetId: string): void {
    for (const group of this.#groups.watching(currency, assetId)) {
      group.dirty.add(assetId);
      this.#dirtyGroups.add(group);
    }
    this.#gather();
  }

  #gather(): void {
    if (this.#gathering !== undefined || this.#dirtyGroups.size === 0) return;
    // At most the usual time, even if the clock was set back.
    const untilNextMs = Math.min(gatherMs, this.#flushedAt + gatherMs - this.#deps.clock.now());
    this.#gathering = setTimeout(
      () => {
        this.#gathering = undefined;
        this.#flush();
        this.#gather();
      },
      Math.max(firstGatherMs, untilNextMs),
    );
    this.#gathering.unref();
  }

  #flush(): void {
    const now = this.#deps.clock.now();
    this.#flushedAt = now;
    for (const group of this.#dirtyGroups) {
      // A little early rather than a whole gathering late.
      if (now - group.sentAt < group.intervalMs - gatherMs / 2) continue;
      this.#dirtyGroups.delete(group);
      this.#send(group, now);
    }
  }

  #send(group: PriceGroup, now: number): void {
    const { currency, dirty, sent, members } = group;
    const changed = [...dirty].filter((id) => {
      const signature = signatureOf(this.#reading(currency, id));
      if (sent.get(id) === signature) return false;
      sent.set(id, signature);
      return true;
    });
    dirty.clear();
    if (changed.length === 0) return;
    group.sentAt = now;
    this.#seq += 1;
    const seq = this.#seq;
    let frame: Frame | undefined;
    const update: PriceUpdate = {
      seq,
      assetIds: changed,
      frame: () => (frame ??= this.#frame(currency, changed, seq)),
    };
    for (const onUpdate of members) onUpdate(update);
  }

  /** Ticks were missed: watched assets are read again, and what has changed meanwhile is sent. */
  async #refill(): Promise<void> {
    for (const group of this.#groups.all()) {
      await this.#deps.quotes.load(group.currency, group.assetIds).catch(() => undefined);
      for (const id of group.assetIds) this.#mark(group.currency, id);
    }
  }

  #frame(currency: string, assetIds: readonly string[], seq: number): Frame {
    const data = this.#json(currency, assetIds);
    return new Frame({ type: 'price', id: `${this.epoch}.${seq}`, data });
  }

  #json(currency: string, assetIds: readonly string[]): string {
    return `[${assetIds.map((id) => readingJson(this.#reading(currency, id))).join(',')}]`;
  }

  #reading(currency: string, assetId: string): QuoteReading {
    const { quotes, clock, freshMs } = this.#deps;
    const now = clock.now();
    const quote = quotes.get(currency, assetId);
    const failure = quotes.failure(currency, assetId, now);
    if (quote === undefined)
      return { assetId, state: failure?.state ?? 'pending', quote: undefined, reason: failure?.reason };
    const state = freshness(quote, now, freshMs);
    return { assetId, state, quote, reason: state === 'stale' ? failure?.reason : undefined };
  }
}

/** Two readings with the same signature look the same to a client. */
function signatureOf({ state, quote }: QuoteReading): string {
  return `${state}${quote?.receivedAt ?? ''}`;
}

/** The groups of a price hub, found by what they watch and by each of their assets. */

/** Clients that watch the same assets at the same interval. */
interface PriceGroup {
  readonly key: string;
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly intervalMs: number;
  readonly members: Set<(update: PriceUpdate) => void>;
  /** Assets whose change has not been sent yet. */
  readonly dirty: Set<string>;
  /** What was last sent of each asset, so that nothing is sent twice. */
  readonly sent: Map<string, string>;
  /** When something was last sent to the group (ms since the epoch). */
  sentAt: number;
}

/** All groups. */
class PriceGroups {
  /** The state of an asset as clients see it: two readings with the same signature are sent once. */
  readonly #signature: (currency: string, assetId: string) => string;
  readonly #byKey = new Map<string, PriceGroup>();
  /** By `currency:asset`. */
  readonly #byAsset = new Map<string, Set<PriceGroup>>();

  constructor(signature: (currency: string, assetId: string) => string) {
    this.#signature = signature;
  }

  /** The group of a watch; in a new one, the current state counts as sent. */
  of({ currency, assetIds, intervalMs }: Watch): PriceGroup {
    const sorted = assetIds.toSorted();
    const key = `${currency}/${intervalMs}/${sorted.join(',')}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const group: PriceGroup = {
      key,
      currency,
      assetIds: sorted,
      intervalMs,
      members: new Set(),
      dirty: new Set(),
      sent: new Map(sorted.map((id) => [id, this.#signature(currency, id)])),
      sentAt: 0,
    };
    this.#byKey.set(key, group);
    for (const id of sorted) {
      const groups = this.#byAsset.get(`${currency}:${id}`);
      if (groups === undefined) this.#byAsset.set(`${currency}:${id}`, new Set([group]));
      else groups.add(group);
    }
    return group;
  }

  /** Removes a member; returns true when it was the last and the group is removed. */
  leave(group: PriceGroup, member: (update: PriceUpdate) => void): boolean {
    group.members.delete(member);
    if (group.members.size > 0) return false;
    this.#byKey.delete(group.key);
    for (const id of group.assetIds) {
      const keyed = `${group.currency}:${id}`;
      const groups = this.#byAsset.get(keyed);
      groups?.delete(group);
      if (groups?.size === 0) this.#byAsset.delete(keyed);
    }
    return true;
  }

  /** Groups that watch an asset. */
  watching(currency: string, assetId: string): Iterable<PriceGroup> {
    return this.#byAsset.get(`${currency}:${assetId}`) ?? [];
  }

  all(): PriceGroup[] {
    return [...this.#byKey.values()];
  }
}
