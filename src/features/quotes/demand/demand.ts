import type { Redis } from 'ioredis';
import { aheadMs } from '../../../domain/received-at.ts';
import { type Urgency, urgencies } from '../../../domain/quote.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import type { RedisKeys } from '../../../platform/redis/keys.ts';
import type { EnqueueRefresh } from '../enqueue-refresh.ts';
import { type RedisScript, redisScript, runScript } from '../../../platform/redis/redis-script.ts';

export interface WantRequest {
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly urgency: Urgency;
  readonly freshAfter: number;
  /** Nobody waits for the result: requests of the same tenant that somebody waits for go first. */
  readonly isPatient?: boolean;
  /** Number of assets of the whole request, if these are only a part of it. */
  readonly size?: number;
  /**
   * Who asks (src/domain/requester.ts); stored for assets that nobody wanted before. The tenant is the user, whatever keys are
   * used; requests without a requester share one tenant.
   */
  readonly requester?: string | undefined;
}

/** How long a lease lasts without being renewed (ms): after that, another process fetches the assets of a dead one. */
export const leaseMs = 6_000;

/** When no lease is taken for this time (ms), although assets are wanted, calls outside demand no longer wait. */
const nonBatchSlotMs = 8_000;

/**
 * Most assets wanted at once, in all currencies; CoinGecko has some 20,000. One tenant may use half of what is free, so there
 * is always room for the next.
 */
const maxWanted = 100_000;

/**
 * Largest request (assets) of each of the small size classes. Smaller requests of a tenant go before its larger ones, so that a
 * page on screen does not wait behind the same user's nightly job.
 */
const sizeLimits = [5, 50] as const;

interface DemandDeps {
  readonly redis: Redis;
  readonly keys: RedisKeys;
  readonly clock: Clock;
  /** Most assets wanted at once, in all currencies. Default 100,000. */
  readonly limit?: number;
}

export type Demand = ReturnType<typeof createDemand>;

/**
 * Demand is the set of assets that are wanted now, per quote currency, over the whole fleet. An asset is in it once, however
 * many clients want it. It has three states, and every transition is one atomic script:
 *
 *   wanted  -- lease -->  leased  -- settle -->  gone (its quote, or why there is none, is in the cache)
 *      ^                    |
 *      +--- release, or the lease expires because its holder died
 *
 * The order is urgency first; within one urgency tenants take turns (docs/explanation/adr/0014-fair-share.md): every wanted asset has a tag in a virtual
 * time that advances as assets are leased. A newcomer starts at the present, and each further asset of the same tenant comes
 * somewhat later, so a tenant that wants ten thousand does not delay one that wants twenty. This holds across all currencies: a
 * worker that may make a call asks which currency is next.
 */
export function createDemand({ redis, keys, clock, limit = maxWanted }: DemandDeps) {
  const keysOf = (currency: string): string[] => [
    keys.demand(currency),
    keys.leases(currency),
    keys.leaseOwners(currency),
    keys.requesters(currency),
    keys.demandHeads,
    keys.demandCounts,
    keys.fairClocks,
    keys.demandNonBatchSlot,
  ];
  const run = (script: RedisScript, currency: string, args: readonly (string | number)[]): Promise<unknown> =>
    runScript(redis, script, { keys: keysOf(currency), args: [currency, ...args] });

  return {
    ...createDemandReads({ redis, keys, clock }),
    /**
     * Requests assets. Those whose quote is younger than `freshAfter` (milliseconds since the epoch), or whose failure is
     * remembered, need no call and are returned as `settled`. Those that are leased are being fetched. `refused`: assets that
     * did not fit, because the set is at its limit.
     */
    async want(
      request: WantRequest,
    ): Promise<{ readonly settled: readonly string[]; readonly refused: number }> {
      const { currency, assetIds, urgency, freshAfter, requester = '' } = request;
      if (assetIds.length === 0) return { settled: [], refused: 0 };
      const prefixes = [`${keys.quotes}${currency}:`, `${keys.failures}${currency}:`, keys.demand('')];
      const until = clock.now() + aheadMs;
      const order = [urgencies.indexOf(urgency), sizeClassOf(request), freshAfter, until];
      const args = [...order, limit, ...prefixes, requester, ...assetIds];
      const answer = await run(wantScript, currency, args);
      const [refused, ...settled] = answer as [number, ...string[]];
      return { settled, refused };
    },
    /** Takes the most urgent assets for one upstream call; they must be settled, released or renewed in time. */
    async lease({
      currency,
      owner,
      maxIds,
      maxBytes,
    }: {
      readonly currency: string;
      /** Who leases; only the owner can settle, release or renew. */
      readonly owner: string;
      readonly maxIds: number;
      /** Longest id list in bytes, separators included. */
      readonly maxBytes: number;
    }): Promise<readonly string[]> {
      return (await run(leaseScript, currency, [owner, maxIds, maxBytes, leaseMs])) as string[];
    },
    /** Keeps a lease for another {@link leaseMs}. */
    async renew(currency: string, owner: string, assetIds: readonly string[]): Promise<void> {
      await run(renewScript, currency, [owner, leaseMs, ...assetIds]);
    },
    /** Ends the demand for assets whose outcome is in the cache. */
    async settle(currency: string, owner: string, assetIds: readonly string[]): Promise<void> {
      await run(settleScript, currency, [owner, ...assetIds]);
    },
    /**
     * Asks for permission to make a call outside demand, which serves one request alone (a document, a page, history). While
     * somebody waits for quotes (urgency `interactive`), at most one such call is made between two leases.
     */
    async mayUseNonBatchSlot(): Promise<boolean> {
      const requested = { keys: [keys.demandHeads, keys.demandNonBatchSlot], args: [nonBatchSlotMs] };
      return (await runScript(redis, nonBatchSlotScript, requested)) === 1;
    },
    /** Returns leased assets to their former place in the order. */
    async release(currency: string, owner: string, assetIds: readonly string[]): Promise<void> {
      await run(releaseScript, currency, [owner, ...assetIds]);
    },
  };
}

/** The read-only part of demand. */
function createDemandReads({ redis, keys, clock }: DemandDeps) {
  return {
    /** The currency whose turn it is; `requested` when nothing is wanted in any currency. */
    async nextCurrency(requested: string): Promise<string> {
      const [next] = await redis.zrange(keys.demandHeads, 0, '0');
      return next ?? requested;
    },
    /** Who asked first for each of the assets, until it is settled; undefined for assets without a requester. */
    async requesters(
      currency: string,
      assetIds: readonly string[],
    ): Promise<readonly (string | undefined)[]> {
      if (assetIds.length === 0) return [];
      const found = await redis.hmget(keys.requesters(currency), ...assetIds);
      return found.map((requester) => requester ?? undefined);
    },
    /** The assets among these that are neither wanted nor leased. */
    async forgotten(currency: string, assetIds: readonly string[]): Promise<readonly string[]> {
      if (assetIds.length === 0) return [];
      // In this order, because an asset leased between the two reads was found as wanted.
      const [places, owners] = await Promise.all([
        redis.zmscore(keys.demand(currency), ...assetIds),
        redis.hmget(keys.leaseOwners(currency), ...assetIds),
      ]);
      return assetIds.filter((_, index) => places[index] == null && owners[index] == null);
    },
    /** Number of assets wanted and not leased, expired leases included. */
    async size(currency: string): Promise<number> {
      const [wanted, leased] = await Promise.all([
        redis.zcard(keys.demand(currency)),
        redis.zcount(keys.leases(currency), '-inf', clock.now()),
      ]);
      return wanted + leased;
    },
    /** How urgent the most urgent wanted asset is; undefined when nothing is wanted. */
    async mostUrgent(currency: string): Promise<Urgency | undefined> {
      const [, score] = await redis.zrange(keys.demand(currency), 0, '0', 'WITHSCORES');
      return score === undefined ? undefined : urgencies[Math.floor(Number(score) / urgencyStep)];
    },
  };
}

/** 0 for the smallest requests; patient requests are in a later class. */
function sizeClassOf({ assetIds, isPatient = false, size = assetIds.length }: WantRequest): number {
  const sizeClass = sizeLimits.findIndex((most) => size <= most);
  return Math.max(sizeClass === -1 ? sizeClasses - 1 : sizeClass, isPatient ? 1 : 0);
}

/**
 * Requests assets and makes sure that a refresh job runs for those that are not settled. Returns how many are not: they are
 * being fetched, or were refused because the set is at its limit. Without `freshAfter`, a quote counts for as long as it is fresh.
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
    // When nobody waits, the call may be delayed to spread the load.
    if (open > 0) await enqueue.quotes(currency, isPatient ? 'stream' : urgency);
    return open;
  };
}

/**
 * The transitions of demand, each atomic.
 *
 * KEYS: demand, leases, lease owners, requesters (of one currency); heads, counts, clocks, aside (of all currencies). ARGV
 * starts with the currency.
 *
 * An owner entry is `<owner>|<score>`, so that a lease that ends without success returns its asset to its former place. Scores
 * are handled as text made by `%.0f`: Lua would shorten large numbers. An asset is in demand or leased, never both; a script
 * that removes it from both also removes its requester and its count.
 *
 * Fair queueing by start tags (Goyal, Vin and Cheng, "Start-time Fair Queueing", 1996). A score is `urgency step x urgency +
 * tag`. `<clocks>:<urgency>` holds V, the virtual time of that urgency (the tag of what was leased last), and for each tenant
 * the tags at which its next assets may start. Clocks behind V have no effect and are removed.
 */

/** Distance between urgencies in the score: larger than any tag. */
const urgencyStep = 1e13;

/**
 * What a place in a call costs in virtual time, and what a call for a single asset costs. A place costs more than the number of
 * size classes.
 */
const placeCost = 4;
const callCost = 1_000;

/** Size classes of requests, each with its own clocks (demand.ts). */
const sizeClasses = 3;

const common = `
local demand, leases, owners, requesters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local heads, counts, clocks, aside = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local currency, step = ARGV[1], ${urgencyStep}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function exact(x) return string.format('%.0f', x) end
local function tenantOf(requester) return string.match(requester or '', '^[^/]*') end
local function ownerOf(id)
  local entry = redis.call('HGET', owners, id)
  if not entry then return nil end
  local bar = string.find(entry, '|', 1, true)
  return string.sub(entry, 1, bar - 1), string.sub(entry, bar + 1)
end
local function drop(id)
  redis.call('HDEL', owners, id)
  return redis.call('ZREM', leases, id)
end
local function forget(id)
  local gone = drop(id) + redis.call('ZREM', demand, id)
  local tenant = tenantOf(redis.call('HGET', requesters, id) or '')
  redis.call('HDEL', requesters, id)
  if gone > 0 and redis.call('HINCRBY', counts, tenant, -1) <= 0 then redis.call('HDEL', counts, tenant) end
end
local function noteHead()
  local head = redis.call('ZRANGE', demand, 0, 0, 'WITHSCORES')
  if head[2] then redis.call('ZADD', heads, head[2], currency) else redis.call('ZREM', heads, currency) end
end
local function reclaim()
  local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 1000)
  for _, id in ipairs(expired) do
    local _, score = ownerOf(id)
    if score then
      drop(id)
      redis.call('ZADD', demand, 'LT', score, id)
    else
      forget(id)
    end
  end
  if #expired > 0 then noteHead() end
end
`;

/**
 * ARGV: currency, urgency, size class, fresh after, fresh until, limit, prefix of quotes, of failures, of demand, requester
 * or '', asset ids. Returns refused, settled ids.
 */
const wantScript = redisScript(`${common}
reclaim()
local urgency, class = tonumber(ARGV[2]), tonumber(ARGV[3])
local freshAfter, freshUntil = tonumber(ARGV[4]), tonumber(ARGV[5])
local tenant = tenantOf(ARGV[10])
local own = clocks .. ':' .. ARGV[2]
local virtual = tonumber(redis.call('ZSCORE', own, 'V') or '0')

-- Nobody waits, so nobody is owed anything.
if redis.call('EXISTS', heads) == 0 then
  redis.call('DEL', counts)
  for u = 0, ${urgencies.length - 1} do
    local clock = clocks .. ':' .. u
    local v = redis.call('ZSCORE', clock, 'V')
    redis.call('DEL', clock)
    if v then redis.call('ZADD', clock, v, 'V') end
  end
end

local function clockOf(c)
  return math.max(virtual, tonumber(redis.call('ZSCORE', own, c .. ':' .. tenant) or '0'))
end
local clock, charged = clockOf(class), 0
local function charge(cost) clock, charged = clock + cost, charged + cost end

local room = tonumber(ARGV[6])
for _, other in ipairs(redis.call('ZRANGE', heads, 0, -1)) do
  room = room - redis.call('ZCARD', ARGV[9] .. other)
end
-- Nobody may hold more than he leaves to others.
local held, added = tonumber(redis.call('HGET', counts, tenant) or '0'), 0
local isEmpty = redis.call('EXISTS', demand) == 0

local function isSettled(id)
  local quote = redis.call('GETRANGE', ARGV[7] .. id, 0, 15)
  local at = tonumber(string.match(quote, '^%d+') or '0')
  if quote ~= '' and at >= freshAfter and at <= freshUntil then return true end
  local failure = redis.call('GETRANGE', ARGV[8] .. id, 0, 31)
  if failure == '' then return false end
  -- That an asset is unpriced is kept for longer than it suffices.
  local unpricedUntil = string.match(failure, '^unpriced|(%d+)')
  return unpricedUntil == nil or tonumber(unpricedUntil) > now
end
local answer = { 0 }
for i = 11, #ARGV do
  local id = ARGV[i]
  -- Of equal tags the smaller request goes first.
  local score = exact(urgency * step + clock + class)
  local owner, leasedScore = ownerOf(id)
  local place = not owner and redis.call('ZSCORE', demand, id)
  if isSettled(id) then
    answer[#answer + 1] = id
  elseif owner then
    if tonumber(score) < tonumber(leasedScore) then redis.call('HSET', owners, id, owner .. '|' .. score) end
  elseif place then
    if tonumber(score) < tonumber(place) then
      redis.call('ZADD', demand, score, id)
      charge(${placeCost})
    end
  elseif room > held then
    redis.call('ZADD', demand, score, id)
    if ARGV[10] ~= '' then redis.call('HSET', requesters, id, ARGV[10]) end
    charge(isEmpty and ${callCost} or ${placeCost})
    isEmpty, added, held, room = false, added + 1, held + 1, room - 1
  else
    answer[1] = answer[1] + 1
  end
end

if added > 0 then redis.call('HINCRBY', counts, tenant, added) end
if charged > 0 then
  -- What a small request costs delays the larger ones of its tenant, never the other way round.
  for c = class, ${sizeClasses - 1} do
    redis.call('ZADD', own, exact(clockOf(c) + charged), c .. ':' .. tenant)
  end
  noteHead()
end
return answer`);

/** ARGV: currency, owner, most ids, most bytes, lease in ms. Returns the leased ids, the most urgent first. */
const leaseScript = redisScript(`${common}
reclaim()
local owner, maxIds, maxBytes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local taken, bytes = {}, 0
local first = redis.call('ZRANGE', heads, 0, 0, 'WITHSCORES')[2]
local rows = redis.call('ZRANGE', demand, 0, maxIds - 1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local id = rows[i]
  bytes = bytes + #id + 1
  if bytes > maxBytes then break end
  taken[#taken + 1] = id
  redis.call('HSET', owners, id, owner .. '|' .. exact(rows[i + 1]))
  redis.call('ZADD', leases, now + ARGV[5], id)
end
if #taken == 0 then return taken end
redis.call('DEL', aside)
redis.call('ZREM', demand, unpack(taken))
-- The smallest tag of this urgency: newcomers start there, behind nobody.
local urgency = math.floor(tonumber(first) / step)
local own, tag = clocks .. ':' .. exact(urgency), exact(tonumber(first) - urgency * step)
redis.call('ZADD', own, 'GT', tag, 'V')
redis.call('ZREMRANGEBYSCORE', own, '-inf', '(' .. redis.call('ZSCORE', own, 'V'))
noteHead()
return taken`);

/**
 * KEYS: heads, aside. ARGV: how long (ms) a call outside demand is remembered. Returns 1 when another such call may be made.
 */
const nonBatchSlotScript = redisScript(`
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local somebodyWaits = first and tonumber(first) < ${urgencyStep}
if somebodyWaits and redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
return 1`);

/** ARGV: currency, owner, lease in ms, asset ids. */
const renewScript = redisScript(`${common}
for i = 4, #ARGV do
  if ownerOf(ARGV[i]) == ARGV[2] then redis.call('ZADD', leases, 'XX', now + ARGV[3], ARGV[i]) end
end
return 1`);

/** ARGV: currency, owner, asset ids. Assets leased by another owner meanwhile stay with that owner. */
const settleScript = redisScript(`${common}
for i = 3, #ARGV do
  local owner = ownerOf(ARGV[i])
  if owner == ARGV[2] or not owner then forget(ARGV[i]) end
end
noteHead()
return 1`);

/** ARGV: currency, owner, asset ids. */
const releaseScript = redisScript(`${common}
for i = 3, #ARGV do
  local owner, score = ownerOf(ARGV[i])
  if owner == ARGV[2] then
    drop(ARGV[i])
    redis.call('ZADD', demand, 'LT', score, ARGV[i])
  end
end
noteHead()
return 1`);
