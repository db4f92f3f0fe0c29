/**
 * Which assets clients read, so that they can be kept fresh (docs/explanation/adr/0014-fair-share.md). Every process counts the reads of its clients in
 * memory, cached ones too: one addition each. Every few seconds the counts go to Redis, where each quote currency has two
 * sorted sets: how hot an asset is, and when it was last read. Assets that nobody has read within the window are dropped.
 *
 * Heat is an exponentially decaying count of reads. It is stored as its logarithm to base 2, plus the time in half-lives:
 * `log2(sum of 2^(t / half-life))` over all reads at times t. So nothing has to be recomputed as time goes by, the order of the
 * set is always the order of heat, and no number grows too large.
 *
 * These are statistics: counts that are lost with a process or while Redis is away are not recovered.
 */
import type { Redis } from 'ioredis';
import { messageOf } from '../../../domain/errors.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import type { Logger } from '../../../platform/observability/logger.ts';
import type { RedisKeys } from '../../../platform/redis/keys.ts';
import { redisScript, runScript } from '../../../platform/redis/redis-script.ts';

/** An asset, or a page of the ranking, that was read lately. */
export interface HotItem {
  /** An asset id, or what {@link pageItem} makes of a page. */
  readonly id: string;
  /** Decaying count of reads; comparable among currencies. */
  readonly heat: number;
}

/** Counts reads; called for every cached read. */
export type ReadCounter = Pick<Interest, 'asset' | 'page'>;

interface InterestDeps {
  readonly redis: Redis;
  readonly keys: Pick<RedisKeys, 'interest'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** An item that was not read for this time (ms) is dropped. */
  readonly windowMs: number;
  /** Time (ms) between flushes. Default 3 s. */
  readonly flushEveryMs?: number;
  /** Most items of one currency. Default 20,000: about every asset there is. */
  readonly maxItems?: number;
}

/** Time (ms) in which the weight of a read halves. */
const halfLifeMs = 120_000;
/** Items that one process counts between two flushes; others are not counted. */
const maxCounted = 50_000;
/** Items of one script call. */
const chunkSize = 1_000;

/** Not a character of asset ids. */
const pageMark = '#';

/** The item of a page of the ranking. */
export function pageItem(page: number): string {
  return `${pageMark}${page}`;
}

/** The page (1-based) that an item is; undefined for an asset. */
export function pageOf(id: string): number | undefined {
  return id.startsWith(pageMark) ? Number(id.slice(pageMark.length)) : undefined;
}

/** KEYS: heat, last read, currencies. ARGV: currency, half-life ms, window ms, most items, then pairs of id and count. */
const noteScript = redisScript(`
local heat, seen, currencies = KEYS[1], KEYS[2], KEYS[3]
local window = tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function log2(x) return math.log(x) / math.log(2) end
for i = 5, #ARGV, 2 do
  local id, added = ARGV[i], now / ARGV[2] + log2(tonumber(ARGV[i + 1]))
  local held = tonumber(redis.call('ZSCORE', heat, id) or '')
  if held then
    local more, less = math.max(held, added), math.min(held, added)
    added = more + log2(1 + 2 ^ (less - more))
  end
  redis.call('ZADD', heat, string.format('%.6f', added), id)
  redis.call('ZADD', seen, now, id)
end
local function forget(ids)
  if #ids == 0 then return end
  redis.call('ZREM', heat, unpack(ids))
  redis.call('ZREM', seen, unpack(ids))
end
forget(redis.call('ZRANGEBYSCORE', seen, '-inf', now - window, 'LIMIT', 0, 2000))
local over = redis.call('ZCARD', heat) - ARGV[4]
if over > 0 then forget(redis.call('ZRANGE', heat, 0, math.min(over, 2000) - 1)) end
redis.call('ZADD', currencies, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', currencies, '-inf', now - window)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, window) end
return 1`);

/**
 * What the clients of the fleet read: counts the reads of this process and queries those of all. Regular flushes start when it
 * is created.
 */
export class Interest {
  readonly #deps: InterestDeps;
  readonly #timer: NodeJS.Timeout;
  #counts = new Map<string, Map<string, number>>();
  #counted = 0;

  constructor(deps: InterestDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.flush(), deps.flushEveryMs ?? 3_000);
    this.#timer.unref();
  }

  /** Counts a read of an asset (`times` reads; 1 when absent): its quote was returned to a client. */
  asset(currency: string, assetId: string, times = 1): void {
    let counts = this.#counts.get(currency);
    if (counts === undefined) this.#counts.set(currency, (counts = new Map<string, number>()));
    const count = counts.get(assetId);
    if (count !== undefined) counts.set(assetId, count + times);
    else if (this.#counted < maxCounted) {
      this.#counted++;
      counts.set(assetId, times);
    }
  }

  /** Counts a read of a page (1-based) of the ranking. */
  page(currency: string, page: number, times = 1): void {
    this.asset(currency, pageItem(page), times);
  }

  /** Currencies in which something was read within the window. */
  async currencies(): Promise<readonly string[]> {
    return await this.#deps.redis.zrange(this.#deps.keys.interest.currencies, 0, '-1');
  }

  /** What was read within the window, the hottest first. */
  async hottest(currency: string, limit: number): Promise<readonly HotItem[]> {
    const rows = await this.#deps.redis.zrevrange(
      this.#deps.keys.interest.heat(currency),
      0,
      limit - 1,
      'WITHSCORES',
    );
    const now = this.#deps.clock.now() / halfLifeMs;
    return Array.from({ length: rows.length / 2 }, (_, index) => ({
      id: rows[2 * index] ?? '',
      heat: 2 ** (Number(rows[2 * index + 1]) - now),
    }));
  }

  /** Number of items that were read within the window, in each currency (100 at most). */
  async sizes(): Promise<readonly number[]> {
    const { redis, keys } = this.#deps;
    const currencies = await redis.zrange(keys.interest.currencies, '0', '99');
    return await Promise.all(currencies.map((currency) => redis.zcard(keys.interest.heat(currency))));
  }

  /** Sends the counts to Redis. Never rejects: what cannot be sent is dropped. */
  async flush(): Promise<void> {
    const counts = this.#counts;
    this.#counts = new Map();
    this.#counted = 0;
    try {
      for (const [currency, ofCurrency] of counts) await this.#send(currency, [...ofCurrency]);
    } catch (error) {
      this.#deps.log.debug({ reason: messageOf(error) }, 'reads could not be counted');
    }
  }

  /** Flushes a last time and stops the regular flushes. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #send(currency: string, counts: readonly (readonly [string, number])[]): Promise<void> {
    const { redis, keys, windowMs, maxItems = 20_000 } = this.#deps;
    const names = keys.interest;
    for (let from = 0; from < counts.length; from += chunkSize) {
      await runScript(redis, noteScript, {
        keys: [names.heat(currency), names.lastRead(currency), names.currencies],
        args: [currency, halfLifeMs, windowMs, maxItems, ...counts.slice(from, from + chunkSize).flat()],
      });
    }
  }
}
