import type { Redis } from 'ioredis';
import type { MarketRow } from '../../domain/market-row.ts';
import type { RedisKeys } from '../../platform/redis/keys.ts';
import { redisScript, runScript } from '../../platform/redis/redis-script.ts';

/**
 * Rows of `/coins/markets` as they were sent, beside the quotes that were made of them. A row is only replaced by one that
 * was received later, and expires as a quote does. A quote may be newer than the row of its asset, never older: another
 * provider may have given it, which has no rows.
 */
export interface MarketRowStore {
  /** The rows of one currency by asset id; assets without one are not in it. */
  read(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, MarketRow>>;
  write(rows: readonly MarketRow[]): Promise<void>;
}

interface RowStoreDeps {
  readonly redis: Redis;
  readonly keys: Pick<RedisKeys, 'rows'>;
  /** How long a row is kept, in seconds. */
  readonly retentionSeconds: number;
}

/** ARGV: retention in ms, then a value for each key. */
const writeScript = redisScript(`
for i = 1, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 15)
  local value = ARGV[i + 1]
  if old == '' or tonumber(string.match(old, '^%d+')) <= tonumber(string.match(value, '^%d+')) then
    redis.call('SET', KEYS[i], value, 'PX', ARGV[1])
  end
end
return #KEYS`);

/** Builds the {@link MarketRowStore} on Redis. */
export function createMarketRowStore({ redis, keys, retentionSeconds }: RowStoreDeps): MarketRowStore {
  return {
    async read(currency, assetIds) {
      const rows = new Map<string, MarketRow>();
      if (assetIds.length === 0) return rows;
      const values = await redis.mget(assetIds.map((id) => `${keys.rows}${currency}:${id}`));
      for (const [index, assetId] of assetIds.entries()) {
        const value = values[index];
        if (value === null || value === undefined) continue;
        const bar = value.indexOf('|');
        const receivedAt = Number(value.slice(0, bar));
        rows.set(assetId, { assetId, currency, receivedAt, json: value.slice(bar + 1) });
      }
      return rows;
    },
    async write(rows) {
      if (rows.length === 0) return;
      await runScript(redis, writeScript, {
        keys: rows.map(({ currency, assetId }) => `${keys.rows}${currency}:${assetId}`),
        args: [retentionSeconds * 1000, ...rows.map(({ receivedAt, json }) => `${receivedAt}|${json}`)],
      });
    },
  };
}
