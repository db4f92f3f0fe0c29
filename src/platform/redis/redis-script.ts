import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** A Lua script with its digest, so that a call sends 40 bytes instead of the source. */
export interface RedisScript {
  readonly source: string;
  readonly sha: string;
}

/** Declares a Lua script. */
export function redisScript(source: string): RedisScript {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** Runs a script by its digest, and by its source where Redis does not have it (yet, or any more). */
export async function runScript(
  redis: Redis,
  script: RedisScript,
  {
    keys,
    args,
  }: {
    readonly keys: readonly string[];
    readonly args: readonly (string | number)[];
  },
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return await redis.eval(script.source, keys.length, ...keys, ...args);
  }
}
