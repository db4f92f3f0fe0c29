import type { Redis } from 'ioredis';
import { aheadMs, receivedAtOf } from '../../domain/received-at.ts';
import {
  unpricedKeptMs,
  withoutPriceReason,
  type CachedQuote,
  type QuoteFailure,
} from '../../domain/cached-quote.ts';
import type { MarketRow } from '../../domain/market-row.ts';
import type { Ranking } from './ticks.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { RedisKeys } from '../../platform/redis/keys.ts';
import { redisScript, runScript } from '../../platform/redis/redis-script.ts';

export interface StoredQuote {
  readonly quote: CachedQuote | undefined;
  readonly failure: QuoteFailure | undefined;
}

/** A stored value that was received later than the new one is kept, unless its timestamp is in the future. */
const isOlder = `
local function isOlder(key, value)
  local old = tonumber(string.match(redis.call('GETRANGE', key, 0, 15), '^%d+') or '0')
  return old <= tonumber(string.match(value, '^%d+')) or old > tonumber(ARGV[2])
end`;

/** ARGV: retention in ms, what counts as the future, then values. KEYS: quote keys, then their failure keys. */
const writeScript = redisScript(`${isOlder}
local n = #ARGV - 2
for i = 1, n do
  local value = ARGV[i + 2]
  if isOlder(KEYS[i], value) then redis.call('SET', KEYS[i], value, 'PX', ARGV[1]) end
  redis.call('DEL', KEYS[n + i])
end
return n`);

interface StoreDeps {
  readonly redis: Redis;
  readonly keys: RedisKeys;
  readonly clock: Clock;
  /** How long a quote or a row is kept, in seconds. */
  readonly retentionSeconds: number;
}

export type QuoteStore = ReturnType<typeof createQuoteStore>;

/**
 * The fleet's cache in Redis. A quote and a failure have different keys, so that an error can never overwrite a good value;
 * every key expires. A quote is only replaced by one that was received later, because a process that was stopped for a while
 * may deliver an old response; one that was received in the future is replaced by any.
 */
export function createQuoteStore({ redis, keys, clock, retentionSeconds }: StoreDeps) {
  const quoteKey = (currency: string, id: string): string => `${keys.quotes}${currency}:${id}`;
  const failureKey = (currency: string, id: string): string => `${keys.failures}${currency}:${id}`;

  return {
    /** What is stored of each asset, in the requested order. */
    async readMany(currency: string, assetIds: readonly string[]): Promise<readonly StoredQuote[]> {
      if (assetIds.length === 0) return [];
      const names = [
        ...assetIds.map((id) => quoteKey(currency, id)),
        ...assetIds.map((id) => failureKey(currency, id)),
      ];
      const values = await redis.mget(names);
      const now = clock.now();
      return assetIds.map((assetId, index) => ({
        quote: parseQuote({ currency, assetId, now }, values[index]),
        failure: parseFailure(assetId, values[assetIds.length + index]),
      }));
    },
    /** Stores quotes of one currency, and deletes the failures that were remembered for them. */
    async write(currency: string, quotes: readonly CachedQuote[]): Promise<void> {
      if (quotes.length === 0) return;
      await runScript(redis, writeScript, {
        keys: [
          ...quotes.map((quote) => quoteKey(currency, quote.assetId)),
          ...quotes.map((quote) => failureKey(currency, quote.assetId)),
        ],
        args: [
          retentionSeconds * 1000,
          clock.now() + aheadMs,
          ...quotes.map((quote) => `${quote.receivedAt}|${quote.head}`),
        ],
      });
    },
    /** Remembers why assets have no quote, until each failure's `until`, and that they are unpriced for a while after it. */
    async writeFailures(currency: string, failures: readonly QuoteFailure[]): Promise<void> {
      if (failures.length === 0) return;
      const pipeline = redis.pipeline();
      for (const { assetId, state, until, reason } of failures) {
        // Not until a moment: the clock of Redis may be another.
        const ms = Math.max(1, until - clock.now() + (state === 'unpriced' ? unpricedKeptMs : 0));
        pipeline.set(failureKey(currency, assetId), `${state}|${until}|${reason}`, 'PX', ms);
      }
      await pipeline.exec();
    },
    /** A page (1-based, 250 assets) of the ranking by market capitalisation. */
    readRanking: async (currency: string, page = 1): Promise<Ranking | undefined> =>
      parseRanking(await redis.get(keys.popular(currency, page)), clock.now()),
    async writeRanking(currency: string, { receivedAt, assetIds }: Ranking, page = 1): Promise<void> {
      const text = `${receivedAt}|${assetIds.join(',')}`;
      await redis.set(keys.popular(currency, page), text, 'EX', retentionSeconds);
    },
    /** Removes what is stored of these assets in all currencies, or everything. Returns the number of keys. */
    clear: (assetIds: readonly string[] | null): Promise<number> => clearKeys(redis, keys, assetIds),
  };
}

function parseQuote(
  { now, ...about }: { readonly currency: string; readonly assetId: string; readonly now: number },
  text: string | null | undefined,
): CachedQuote | undefined {
  if (text === null || text === undefined) return undefined;
  const bar = text.indexOf('|');
  return { ...about, receivedAt: receivedAtOf(Number(text.slice(0, bar)), now), head: text.slice(bar + 1) };
}

function parseRanking(text: string | null, now: number): Ranking | undefined {
  if (text === null) return undefined;
  const bar = text.indexOf('|');
  const assetIds = text.slice(bar + 1).split(',');
  return {
    receivedAt: receivedAtOf(Number(text.slice(0, bar)), now),
    assetIds: assetIds.filter((id) => id !== ''),
  };
}

function parseFailure(assetId: string, text: string | null | undefined): QuoteFailure | undefined {
  if (text === null || text === undefined) return undefined;
  const [state, until, ...words] = text.split('|');
  const reason = words.join('|');
  return { assetId, state: failureStateOf(state, reason), until: Number(until), reason };
}

/** Processes that do not know `unpriced` yet say it by the reason. */
function failureStateOf(state: string | undefined, reason: string): QuoteFailure['state'] {
  if (state === 'not_found') return 'not_found';
  return state === 'unpriced' || reason === withoutPriceReason ? 'unpriced' : 'unavailable';
}

/** Finds keys by SCAN, a thousand at a time, so that clearing a large cache never blocks Redis. */
async function clearKeys(redis: Redis, keys: RedisKeys, assetIds: readonly string[] | null): Promise<number> {
  const wanted = assetIds === null ? undefined : new Set(assetIds);
  const prefixes = [
    keys.quotes,
    keys.failures,
    keys.rows,
    ...(wanted === undefined ? [keys.rankings, keys.documents] : []),
  ];
  let removed = 0;
  for (const prefix of prefixes) {
    for await (const batch of redis.scanStream({ match: `${escapeGlob(prefix)}*`, count: 1000 })) {
      const names = (batch as string[]).filter(
        (name) => wanted?.has(name.slice(name.lastIndexOf(':') + 1)) ?? true,
      );
      if (names.length > 0) removed += await redis.unlink(names);
    }
  }
  return removed;
}

function escapeGlob(text: string): string {
  return text.replaceAll(/[\\*?[\]]/g, String.raw`\$&`);
}

/** ARGV: retention in ms, what counts as the future, then a value for each key. */
const writeRowsScript = redisScript(`${isOlder}
for i = 1, #KEYS do
  local value = ARGV[i + 2]
  if isOlder(KEYS[i], value) then redis.call('SET', KEYS[i], value, 'PX', ARGV[1]) end
end
return #KEYS`);

export type MarketRowStore = ReturnType<typeof createMarketRowStore>;

/**
 * Rows of `/coins/markets` as they were received, in addition to the quotes made from them. A row is only replaced by one that
 * was received later, and expires as a quote does. A quote may be newer than the row of its asset, never older: it may come
 * from another provider, which has no rows.
 */
export function createMarketRowStore({ redis, keys, clock, retentionSeconds }: StoreDeps) {
  return {
    /** The rows of one currency by asset id; assets without one are not in it. */
    async read(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, MarketRow>> {
      const rows = new Map<string, MarketRow>();
      if (assetIds.length === 0) return rows;
      const values = await redis.mget(assetIds.map((id) => `${keys.rows}${currency}:${id}`));
      const now = clock.now();
      for (const [index, assetId] of assetIds.entries()) {
        const value = values[index];
        if (value === null || value === undefined) continue;
        const bar = value.indexOf('|');
        const receivedAt = receivedAtOf(Number(value.slice(0, bar)), now);
        rows.set(assetId, { assetId, currency, receivedAt, json: value.slice(bar + 1) });
      }
      return rows;
    },
    async write(rows: readonly MarketRow[]): Promise<void> {
      if (rows.length === 0) return;
      await runScript(redis, writeRowsScript, {
        keys: rows.map(({ currency, assetId }) => `${keys.rows}${currency}:${assetId}`),
        args: [
          retentionSeconds * 1000,
          clock.now() + aheadMs,
          ...rows.map(({ receivedAt, json }) => `${receivedAt}|${json}`),
        ],
      });
    },
  };
}
