import type { Redis } from 'ioredis';
import { urgencies, type Urgency } from '../../../domain/quote.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import type { RedisKeys } from '../../../platform/redis/keys.ts';
import type { EnqueueRefresh } from '../enqueue-refresh.ts';
import { runScript, type RedisScript } from '../../../platform/redis/redis-script.ts';
import {
  asideScript,
  leaseScript,
  releaseScript,
  renewScript,
  settleScript,
  sizeClasses,
  urgencyStep,
  wantScript,
} from './demand-scripts.ts';

/**
 * Demand is the set of assets that somebody wants now, per quote currency, over the whole fleet. However many want an
 * asset, it is in there once. It has three states, and every move is one atomic script:
 *
 *   wanted  -- lease -->  leased  -- settle -->  gone (its quote, or why there is none, is in the cache)
 *      ^                    |
 *      +--- release, or the lease expires because its holder died
 *
 * The order is urgency first; within one urgency tenants take turns (docs/adr/0014): every wanted asset has a tag in a virtual
 * time that goes on as assets are leased. Whoever comes begins at the present, and each further asset of the same tenant
 * comes somewhat later, so a tenant that wants ten thousand does not delay one that wants twenty. It holds over all
 * currencies: whoever may make a call asks which currency is next.
 */
export interface Demand {
  /**
   * Says that assets are wanted. Those whose quote is younger than `freshAfter` (milliseconds since the epoch), or whose
   * failure is remembered, need nothing: they are returned as `settled`. Those that are leased are on their way.
   */
  want(request: WantRequest): Promise<{
    readonly settled: readonly string[];
    /** Assets that did not fit: the set is at its limit. */
    readonly refused: number;
  }>;
  /** The currency whose turn it is; `asked` when nothing is wanted in any. */
  nextCurrency(asked: string): Promise<string>;
  /** Takes the most urgent assets for one upstream call; what it took must be settled, released or renewed in time. */
  lease(request: {
    readonly currency: string;
    /** Who leases; only the owner can settle, release or renew. */
    readonly owner: string;
    readonly maxIds: number;
    /** Longest id list in bytes, separators included. */
    readonly maxBytes: number;
  }): Promise<readonly string[]>;
  /** Keeps a lease for another `leaseMs`. */
  renew(currency: string, owner: string, assetIds: readonly string[]): Promise<void>;
  /** The assets are dealt with. */
  settle(currency: string, owner: string, assetIds: readonly string[]): Promise<void>;
  /** Puts leased assets back where they were in the order. */
  release(currency: string, owner: string, assetIds: readonly string[]): Promise<void>;
  /** Who asked first for each of the assets, as long as it is not settled; undefined for those that nobody in particular did. */
  requesters(currency: string, assetIds: readonly string[]): Promise<readonly (string | undefined)[]>;
  /**
   * Asks for the turn of a call beside demand, which serves one request alone (a document, a page, history). While somebody waits
   * for quotes (urgency `interactive`), one such call at most comes between two leases.
   */
  mayCallAside(): Promise<boolean>;
  /** Number of assets wanted and not leased, expired leases included. */
  size(currency: string): Promise<number>;
  /** How urgent the most urgent wanted asset is; undefined when nothing is wanted. */
  mostUrgent(currency: string): Promise<Urgency | undefined>;
}

export interface WantRequest {
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly urgency: Urgency;
  readonly freshAfter: number;
  /** Nobody waits for it: requests of the same tenant that somebody waits for go first. */
  readonly isPatient?: boolean;
  /**
   * Who asks (src/domain/requester.ts); remembered for the assets that nobody wanted yet. The tenant is the user, whatever
   * keys are used; all who do not say are one tenant.
   */
  readonly requester?: string | undefined;
}

/** How long a lease lives without being renewed (ms): the time after which a dead process's assets are fetched by another. */
export const leaseMs = 6_000;

/** When no lease comes for so long (ms), whatever is wanted, calls beside demand wait no longer. */
const asideMs = 8_000;

/**
 * Most assets wanted at once, in all currencies; CoinGecko has some 20,000. One tenant may want as many as it leaves free, so
 * a single one fills half of it, and there is always room for the next.
 */
const maxWanted = 100_000;

/**
 * Largest requests (assets) of the small sizes. The smaller requests of a tenant go before its larger ones: a page that somebody
 * looks at is not behind the same user's nightly job.
 */
const sizeLimits = [5, 50] as const;

interface DemandDeps {
  readonly redis: Redis;
  readonly keys: RedisKeys;
  /** Most assets wanted at once, in all currencies. Default 100,000. */
  readonly limit?: number;
}

/** Builds the fleet's {@link Demand} on Redis. */
export function createDemand({ redis, keys, limit = maxWanted }: DemandDeps): Demand {
  const keysOf = (currency: string): string[] => [
    keys.demand(currency),
    keys.leases(currency),
    keys.leaseOwners(currency),
    keys.requesters(currency),
    keys.demandHeads,
    keys.demandCounts,
    keys.fairClocks,
    keys.demandAside,
  ];
  const run = (script: RedisScript, currency: string, args: readonly (string | number)[]): Promise<unknown> =>
    runScript(redis, script, { keys: keysOf(currency), args: [currency, ...args] });

  return {
    ...createLooks({ redis, keys }),
    async want(request) {
      const { currency, assetIds, urgency, freshAfter, requester = '' } = request;
      if (assetIds.length === 0) return { settled: [], refused: 0 };
      const prefixes = [`${keys.quotes}${currency}:`, `${keys.failures}${currency}:`, keys.demand('')];
      const order = [urgencies.indexOf(urgency), sizeClassOf(request), freshAfter];
      const args = [...order, limit, ...prefixes, requester, ...assetIds];
      const answer = await run(wantScript, currency, args);
      const [refused, ...settled] = answer as [number, ...string[]];
      return { settled, refused };
    },
    async lease({ currency, owner, maxIds, maxBytes }) {
      return (await run(leaseScript, currency, [owner, maxIds, maxBytes, leaseMs])) as string[];
    },
    async renew(currency, owner, assetIds) {
      await run(renewScript, currency, [owner, leaseMs, ...assetIds]);
    },
    async settle(currency, owner, assetIds) {
      await run(settleScript, currency, [owner, ...assetIds]);
    },
    async mayCallAside() {
      const asked = { keys: [keys.demandHeads, keys.demandAside], args: [asideMs] };
      return (await runScript(redis, asideScript, asked)) === 1;
    },
    async release(currency, owner, assetIds) {
      await run(releaseScript, currency, [owner, ...assetIds]);
    },
  };
}

/** What changes nothing. */
function createLooks({
  redis,
  keys,
}: DemandDeps): Pick<Demand, 'nextCurrency' | 'requesters' | 'size' | 'mostUrgent'> {
  return {
    async nextCurrency(asked) {
      const [next] = await redis.zrange(keys.demandHeads, 0, '0');
      return next ?? asked;
    },
    async requesters(currency, assetIds) {
      if (assetIds.length === 0) return [];
      const found = await redis.hmget(keys.requesters(currency), ...assetIds);
      return found.map((requester) => requester ?? undefined);
    },
    async size(currency) {
      const [wanted, leased] = await Promise.all([
        redis.zcard(keys.demand(currency)),
        redis.zcount(keys.leases(currency), '-inf', Date.now()),
      ]);
      return wanted + leased;
    },
    async mostUrgent(currency) {
      const [, score] = await redis.zrange(keys.demand(currency), 0, '0', 'WITHSCORES');
      return score === undefined ? undefined : urgencies[Math.floor(Number(score) / urgencyStep)];
    },
  };
}

/** 0 for the smallest requests; what nobody waits for comes after those at least. */
function sizeClassOf({ assetIds, isPatient = false }: WantRequest): number {
  const size = sizeLimits.findIndex((most) => assetIds.length <= most);
  return Math.max(size === -1 ? sizeClasses - 1 : size, isPatient ? 1 : 0);
}

/**
 * Wants assets and makes sure that a refresh job runs for those that are not settled. Returns how many that are: on their way, or
 * refused because the set is at its limit. Without `freshAfter` a quote suffices for as long as it is fresh.
 */
export type Want = (
  request: Omit<WantRequest, 'freshAfter'> & { readonly freshAfter?: number },
) => Promise<number>;

/** Builds the {@link Want} of a process. It rejects when Redis does not answer. */
export function createWant({
  demand,
  enqueue,
  clock,
  freshMs,
}: {
  readonly demand: Pick<Demand, 'want'>;
  readonly enqueue: Pick<EnqueueRefresh, 'quotes'>;
  readonly clock: Clock;
  readonly freshMs: number;
}): Want {
  return async (request) => {
    const { currency, assetIds, urgency, isPatient = false } = request;
    const { settled } = await demand.want({ freshAfter: clock.now() - freshMs, ...request });
    const open = assetIds.length - settled.length;
    // Where nobody waits, the call is one that can be spread.
    if (open > 0) await enqueue.quotes(currency, isPatient ? 'stream' : urgency);
    return open;
  };
}
