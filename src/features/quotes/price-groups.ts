/** Who watches the same: the groups of a price hub, found by what they watch and by each asset of it. */
import type { QuoteReading } from '../../domain/cached-quote.ts';
import type { Frame } from '../../platform/realtime/frame.ts';

/** What somebody watches. */
export interface Watch {
  readonly currency: string;
  /** Without repetition. */
  readonly assetIds: readonly string[];
  /** Least time (ms) between two updates. */
  readonly intervalMs: number;
  /** Who is charged for what it costs to keep the assets fresh. */
  readonly requester?: string | undefined;
}

/** News of a group. */
export interface PriceUpdate {
  /** Rises with every update of this process. */
  readonly seq: number;
  /** Assets that have changed. */
  readonly assetIds: readonly string[];
  /** The changed assets as an event `price`, for all clients that miss nothing else. */
  readonly frame: () => Frame;
}

/** What a client has of a watch. */
export interface Watching {
  /** Readings of all watched assets now. */
  readings(): readonly QuoteReading[];
  /** JSON list of these assets as they are now. */
  jsonOf(assetIds: readonly string[]): string;
  /** An event `price` with these assets as they are now. */
  frameOf(assetIds: readonly string[]): Frame;
  /** Watched assets whose newest reading has not gone out yet: who leaves now would miss it. */
  pending(): readonly string[];
  close(): void;
}

/** Clients that watch the same assets at the same interval. */
export interface PriceGroup {
  readonly key: string;
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly intervalMs: number;
  readonly members: Set<(update: PriceUpdate) => void>;
  /** Assets whose change was not sent yet. */
  readonly dirty: Set<string>;
  /** What was last sent of each asset, so that nothing is sent twice. */
  readonly sent: Map<string, string>;
  /** When it was last sent something (ms since the epoch). */
  sentAt: number;
}

/** All groups. */
export class PriceGroups {
  /** What an asset says now: two readings that say the same are sent once. */
  readonly #signature: (currency: string, assetId: string) => string;
  readonly #byKey = new Map<string, PriceGroup>();
  /** By `currency:asset`. */
  readonly #byAsset = new Map<string, Set<PriceGroup>>();

  constructor(signature: (currency: string, assetId: string) => string) {
    this.#signature = signature;
  }

  /** The group of a watch; a new one has been sent what there is now. */
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

  /** Takes a member out; true when it was the last, and the group is no more. */
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
