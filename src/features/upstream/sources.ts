import type { Redis } from 'ioredis';
import type { Config } from '../../platform/config/load-config.ts';
import { priceSourceOf } from '../../platform/config/price-source.ts';
import type { RedisKeys } from '../../platform/redis/keys.ts';
import { readBreaker, type BreakerStatus } from './circuit-breaker.ts';

/** How the price sources stand, for the whole fleet. */
export interface SourcesOutlook {
  /** In the order in which they are asked. */
  readonly sources: readonly (BreakerStatus & { readonly name: string })[];
  /** Number of prices far from the last one, by what became of them: `doubted` and `confirmed`. */
  readonly guarded: Readonly<Record<string, number>>;
}

interface OutlookDeps {
  readonly config: Config;
  readonly redis: Redis;
  readonly keys: RedisKeys;
}

/** Builds the reader of the {@link SourcesOutlook}; it rejects when Redis does not answer. */
export function createSourcesOutlook({ config, redis, keys }: OutlookDeps): () => Promise<SourcesOutlook> {
  const first = priceSourceOf({ ...config, PROVIDER: config.PROVIDER ?? 'simulated' }).provider;
  const names = [...new Set([first, ...config.PROVIDER_FALLBACKS])];
  return async () => {
    const [guarded, ...states] = await Promise.all([
      redis.hgetall(keys.guarded),
      ...names.map(async (name) => ({ name, ...(await readBreaker(redis, keys.breaker(name))) })),
    ]);
    const counts = Object.entries(guarded).map(([verdict, count]) => [verdict, Number(count)]);
    return { sources: states, guarded: Object.fromEntries(counts) as Record<string, number> };
  };
}
