import type { Redis } from 'ioredis';
import { urgencies, type Urgency } from '../domain/quote.ts';
import type { RedisKeys } from '../lib/redis-keys.ts';
import { runScript } from '../lib/redis-script.ts';
import { leaseScript, releaseScript, renewScript, settleScript, wantScript } from './scripts.ts';

/**
 * Demand is the set of assets that somebody wants now, per quote currency, over the whole fleet. However many want an
 * asset, it is in there once. It has three states, and every move is one atomic script:
 *
 *   wanted  -- lease -->  leased  -- settle -->  gone (its quote, or why there is none, is in the cache)
 *      ^                    |
 *      +--- release, or the lease expires because its holder died
 *
 * The order is urgency first; within one urgency the earliest deadline first, where a small request has the earlier
 * deadline. So a user who waits for twenty assets goes before a crowd of ten thousand, and the crowd is never starved:
 * its deadline comes too.
 */
export interface Demand {
  /**
   * Says that assets are wanted. Those whose quote is younger than `freshAfter` (milliseconds since the epoch), or whose
   * failure is remembered, need nothing: they are returned as `settled`. Those that are leased are on their way.
   */
  want(request: WantRequest): Promise<WantResult>;
  /** Takes the most urgent assets for one upstream call; what it took must be settled, released or renewed in time. */
  lease(request: LeaseRequest): Promise<readonly string[]>;
  /** Keeps a lease for another `leaseMs`. */
  renew(currency: string, owner: string, assetIds: readonly string[]): Promise<void>;
  /** The assets are dealt with. */
  settle(currency: string, owner: string, assetIds: readonly string[]): Promise<void>;
  /** Puts leased assets back where they were in the order. */
  release(currency: string, owner: string, assetIds: readonly string[]): Promise<void>;
  /** Who asked first for each of the assets, as long as it is not settled; undefined for those that nobody in particular did. */
  requesters(currency: string, assetIds: readonly string[]): Promise<readonly (string | undefined)[]>;
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
  /** Time (ms) within which it should be there; by the number of assets when absent. */
  readonly slackMs?: number;
  /** Who asks (src/domain/requester.ts); remembered for the assets that nobody wanted yet. */
  readonly requester?: string | undefined;
}

export interface WantResult {
  readonly settled: readonly string[];
  /** Assets that did not fit: the set is at its limit. */
  readonly refused: number;
}

export interface LeaseRequest {
  readonly currency: string;
  /** Who leases; only the owner can settle, release or renew. */
  readonly owner: string;
  readonly maxIds: number;
  /** Longest id list in bytes, separators included. */
  readonly maxBytes: number;
}

/** How long a lease lives without being renewed (ms): the time after which a dead process's assets are fetched by another. */
export const leaseMs = 6_000;

/**
 * Slack per asset of a request (ms): 20 assets may take 20 s, 250 may take 250 s, which is still less than a job waits.
 * The more slack, the longer small requests go first when the budget does not suffice for all.
 */
const slackPerAssetMs = 1_000;

/** Most assets wanted at once in one currency; CoinGecko has some 20,000. */
const maxWanted = 100_000;

/** Distance between urgencies in the score: larger than any time in milliseconds. */
const urgencyStep = 1e13;

interface DemandDeps {
  readonly redis: Redis;
  readonly keys: RedisKeys;
}

/** Builds the fleet's {@link Demand} on Redis. */
export function createDemand({ redis, keys }: DemandDeps): Demand {
  const keysOf = (currency: string): string[] => [
    keys.demand(currency),
    keys.leases(currency),
    keys.leaseOwners(currency),
    keys.requesters(currency),
  ];

  return {
    async want(request) {
      const { currency, assetIds, urgency, freshAfter, requester = '' } = request;
      if (assetIds.length === 0) return { settled: [], refused: 0 };
      const slackMs = request.slackMs ?? assetIds.length * slackPerAssetMs;
      const base = urgencies.indexOf(urgency) * urgencyStep;
      const prefixes = [`${keys.quotes}${currency}:`, `${keys.failures}${currency}:`];
      const args = [base, slackMs, freshAfter, maxWanted, ...prefixes, requester, ...assetIds];
      const answer = await runScript(redis, wantScript, { keys: keysOf(currency), args });
      const [refused, ...settled] = answer as [number, ...string[]];
      return { settled, refused };
    },
    async lease({ currency, owner, maxIds, maxBytes }) {
      const args = [owner, maxIds, maxBytes, leaseMs];
      return (await runScript(redis, leaseScript, { keys: keysOf(currency), args })) as string[];
    },
    async renew(currency, owner, assetIds) {
      await runScript(redis, renewScript, { keys: keysOf(currency), args: [owner, leaseMs, ...assetIds] });
    },
    async settle(currency, owner, assetIds) {
      await runScript(redis, settleScript, { keys: keysOf(currency), args: [owner, ...assetIds] });
    },
    async release(currency, owner, assetIds) {
      await runScript(redis, releaseScript, { keys: keysOf(currency), args: [owner, ...assetIds] });
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
