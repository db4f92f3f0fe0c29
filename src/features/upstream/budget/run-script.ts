import type { Redis } from 'ioredis';
import { withDeadline } from '../../../platform/concurrency/deadline.ts';
import { redisScript, runScript } from '../../../platform/redis/redis-script.ts';

/** A Lua script bound to its keys. Resolves with the reply as texts, whatever types Redis answered with. */
export type Script = (...args: readonly (string | number)[]) => Promise<readonly string[]>;

interface ScriptOptions {
  readonly redis: Redis;
  readonly lua: string;
  readonly keys: readonly string[];
  readonly timeoutMs: number;
}

/** Binds a script. A call that times out may still run later: its command stays in the client's queue. */
export function bindScript({ redis, lua, keys, timeoutMs }: ScriptOptions): Script {
  const script = redisScript(lua);
  return async (...args) => {
    const reply = await withDeadline(
      runScript(redis, script, { keys, args }),
      timeoutMs,
      'a script of the budget',
    );
    return (Array.isArray(reply) ? reply : [reply]).map(String);
  };
}
