import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { RedisKeys } from '../../platform/redis/keys.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { receivedAtOf } from '../../domain/received-at.ts';
import { redisScript, runScript } from '../../platform/redis/redis-script.ts';

export interface PassthroughResponse {
  /** JSON text. */
  readonly json: string;
  /** Milliseconds since the Unix epoch. */
  readonly receivedAt: number;
}

/** Reason of a failure: the source does not go back to the time of the document. */
export const outOfReachReason = 'the price source does not reach back so far';

/** Why there is no document, valid until `until` (ms since the epoch). */
export interface PassthroughFailure {
  /** `forbidden`: the source answered 403. */
  readonly state: 'not_found' | 'unavailable' | 'forbidden';
  readonly until: number;
  readonly reason: string;
}

export type PassthroughStore = ReturnType<typeof createPassthroughStore>;

/** Limits for all documents together; `wanted`: documents that may be wanted at the same time. */
const defaultBounds = {
  documents: 5_000,
  bytes: 64 * 1024 * 1024,
  bytesEach: 4 * 1024 * 1024,
  wanted: 300,
  wantedOfOne: 30,
};
/** A wanted entry expires after this time (ms), in case the process that should fetch it has died. */
const wantedForMs = 60_000;

/** KEYS: document, failure, index by age, sizes. ARGV: value, its bytes, id, now, retention ms, most documents, most bytes, prefix. */
const writeScript = redisScript(`
local index, sizes = KEYS[3], KEYS[4]
local now, retention = tonumber(ARGV[4]), tonumber(ARGV[5])
local old = redis.call('GETRANGE', KEYS[1], 0, 15)
if old ~= '' and tonumber(string.match(old, '^%d+')) > now then return 0 end
local function drop(id)
  redis.call('DEL', ARGV[8] .. id)
  redis.call('ZREM', index, id)
  local size = tonumber(redis.call('HGET', sizes, id) or '0')
  redis.call('HDEL', sizes, id)
  if size > 0 then redis.call('HINCRBY', sizes, '', -size) end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now - retention, 'LIMIT', 0, 100)) do drop(id) end
drop(ARGV[3])
while redis.call('ZCARD', index) >= tonumber(ARGV[6])
  or tonumber(redis.call('HGET', sizes, '') or '0') + tonumber(ARGV[2]) > tonumber(ARGV[7]) do
  local oldest = redis.call('ZRANGE', index, 0, 0)[1]
  if not oldest then redis.call('HDEL', sizes, '') break end
  drop(oldest)
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', retention)
redis.call('DEL', KEYS[2])
redis.call('ZADD', index, now, ARGV[3])
redis.call('HSET', sizes, ARGV[3], ARGV[2])
redis.call('HINCRBY', sizes, '', ARGV[2])
return 1`);

/** KEYS: wanted by all, wanted by the requester. ARGV: member, now, until, for how long (ms), most of all, most of one. */
const wantScript = redisScript(`
for i = 1, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[2])
  if not redis.call('ZSCORE', KEYS[i], ARGV[1]) and redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[4 + i]) then return 0 end
end
for i = 1, 2 do
  redis.call('ZADD', KEYS[i], ARGV[3], ARGV[1])
  redis.call('PEXPIRE', KEYS[i], ARGV[4])
end
return 1`);

/** Short name of a document, whose path may be long. */
export function passthroughId(path: string): string {
  return createHash('sha1').update(path).digest('base64url');
}

/** Keys of a document, by its short name. */
function keysUnder(prefix: string) {
  return {
    bodies: `${prefix}body:`,
    index: `${prefix}index`,
    sizes: `${prefix}sizes`,
    failure: (id: string): string => `${prefix}failure:${id}`,
    lease: (id: string): string => `${prefix}lease:${id}`,
    wanted: (requester = ''): string[] => [`${prefix}wanted`, `${prefix}wanted-by:${requester}`],
  };
}

/**
 * Documents of CoinGecko's API in Redis, by their canonical path and query. As with quotes, a failure lies under a key of its
 * own and never overwrites a document. Number and size are bounded: at the limit the documents that were fetched longest ago
 * go first, so that nobody can fill Redis with queries that he invents.
 */
export function createPassthroughStore({
  redis,
  clock,
  keys: { documents: prefix },
  retentionSeconds,
  bounds = defaultBounds,
}: {
  readonly redis: Redis;
  readonly clock: Clock;
  readonly keys: Pick<RedisKeys, 'documents'>;
  readonly retentionSeconds: number;
  /** Told in tests. */
  readonly bounds?: Readonly<typeof defaultBounds>;
}) {
  const keys = keysUnder(prefix);
  return {
    async read(path: string) {
      const id = passthroughId(path);
      const [body, failure] = await redis.mget(keys.bodies + id, keys.failure(id));
      return { response: parsePassthrough(body, clock.now()), failure: parseFailure(failure) };
    },
    /** Stores a document, and forgets a failure. One that is too large is not stored. */
    async write(path: string, { json, receivedAt }: PassthroughResponse): Promise<void> {
      const id = passthroughId(path);
      const bytes = Buffer.byteLength(json);
      if (bytes > bounds.bytesEach) return;
      const about = [
        bytes,
        id,
        receivedAt,
        retentionSeconds * 1000,
        bounds.documents,
        bounds.bytes,
        keys.bodies,
      ];
      await runScript(redis, writeScript, {
        keys: [keys.bodies + id, keys.failure(id), keys.index, keys.sizes],
        args: [`${receivedAt}|${json}`, ...about],
      });
    },
    async writeFailure(path: string, { state, until, reason }: PassthroughFailure): Promise<void> {
      const ms = Math.max(1, until - clock.now());
      await redis.set(keys.failure(passthroughId(path)), `${state}|${until}|${reason}`, 'PX', ms);
    },
    /** Takes the right to fetch a document, for `ms`; false when another has it. */
    async lease(path: string, ms: number): Promise<boolean> {
      return (await redis.set(keys.lease(passthroughId(path)), '1', 'PX', ms, 'NX')) === 'OK';
    },
    /** Gives back a lease: another may try. */
    async release(path: string): Promise<void> {
      await redis.del(keys.lease(passthroughId(path)));
    },
    /** The document, or why there is none, has come: gives back the lease and the place among the wanted. */
    async settle(path: string, requester: string | undefined): Promise<void> {
      const id = passthroughId(path);
      const [all = '', own = ''] = keys.wanted(requester);
      await redis.pipeline().del(keys.lease(id)).zrem(all, id).zrem(own, id).exec();
    },
    /** Takes a place among the documents that are wanted; false when there are too many, of all or of one requester. */
    async want(path: string, requester: string | undefined): Promise<boolean> {
      const now = clock.now();
      const args = [
        passthroughId(path),
        now,
        now + wantedForMs,
        wantedForMs,
        bounds.wanted,
        bounds.wantedOfOne,
      ];
      return (await runScript(redis, wantScript, { keys: keys.wanted(requester), args })) === 1;
    },
  };
}

function parsePassthrough(text: string | null | undefined, now: number): PassthroughResponse | undefined {
  if (text === null || text === undefined) return undefined;
  const bar = text.indexOf('|');
  return { receivedAt: receivedAtOf(Number(text.slice(0, bar)), now), json: text.slice(bar + 1) };
}

function parseFailure(text: string | null | undefined): PassthroughFailure | undefined {
  if (text === null || text === undefined) return undefined;
  const [state, until, ...reason] = text.split('|');
  return {
    state: state === 'not_found' || state === 'forbidden' ? state : 'unavailable',
    until: Number(until),
    reason: reason.join('|'),
  };
}
