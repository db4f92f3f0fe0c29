/** What Redis must take from us, and what it says when it does not. */
import type { Redis } from 'ioredis';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { Shutdown } from '../observability/shutdown.ts';
import type { RedisKeys } from './keys.ts';
import { redisScript, runScript } from './redis-script.ts';

/** Commands of ours and of BullMQ, its scripts included, by what follows them. */
const commands = {
  nothing: 'PING INFO TIME MULTI EXEC',
  key: 'DEL UNLINK EXISTS GET MGET TYPE PTTL PERSIST INCR HGETALL HLEN LLEN LPOP RPOP SCARD SMEMBERS XLEN ZCARD ZPOPMIN',
  keyAndArguments:
    'SET GETRANGE INCRBY PEXPIRE PEXPIREAT HSET HMSET HGET HMGET HDEL HEXISTS HINCRBY HINCRBYFLOAT LPUSH RPUSH LPOS LREM LSET LINDEX ' +
    'LRANGE LTRIM SADD SREM SISMEMBER XADD XDEL XRANGE XREVRANGE XTRIM ZADD ZREM ZSCORE ZMSCORE ZCOUNT ZLEXCOUNT ZRANGE ZREVRANGE ' +
    'ZRANGEBYLEX ZRANGEBYSCORE ZREVRANGEBYSCORE ZREMRANGEBYRANK ZREMRANGEBYSCORE',
  twoKeys: 'RENAME RPOPLPUSH',
} as const;

/** Every command with arguments of its kind. Nothing of it is run. */
function callsOn(key: string): readonly (readonly string[])[] {
  const each = (names: string, ...args: string[]): string[][] =>
    names.split(' ').map((name) => [name, ...args]);
  return [
    ...each(commands.nothing),
    ...each(commands.key, key),
    ...each(commands.keyAndArguments, key, '1', '1', '1'),
    ...each(commands.twoKeys, key, key),
    ['SCAN', '0'],
    ['BZPOPMIN', key, '1'],
    ['XREAD', 'STREAMS', key, '0'],
    ['PUBLISH', key, ''],
    ['SUBSCRIBE', key],
  ];
}

/** The categories of commands that hold all of them, for the rule of a user. */
const neededRules = '+@read +@write +@pubsub +@scripting +@connection +@transaction +@blocking +info +time';

/** Asks Redis (7 and later) whether its user may run each call. */
const mayRun = redisScript(`
local refused = {}
for _, call in ipairs(cjson.decode(ARGV[1])) do
  local known, may = pcall(function() return redis.acl_check_cmd(unpack(call)) end)
  if known and not may then refused[#refused + 1] = call[1] end
end
return refused`);

/**
 * The commands that Redis refuses to this user, or that it refuses on our keys. Before Redis 7 only what the question itself needs.
 * @throws when Redis does not answer.
 */
export async function refusedCommands(redis: Redis, prefix: string): Promise<readonly string[]> {
  const key = `${prefix}:rights`;
  try {
    const refused = await runScript(redis, mayRun, { keys: [], args: [JSON.stringify(callsOn(key))] });
    return refused as string[];
  } catch (error) {
    if (!messageOf(error).startsWith('NOPERM')) throw error;
    return ['EVAL', 'EVALSHA'];
  }
}

/** Beginnings of what Redis says when it answers and cannot serve. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT)\b/, 'is a Redis Cluster, which is not supported'],
  [/^NOPERM\b/, 'refuses a required command'],
  [/^(NOAUTH|WRONGPASS)\b/, 'refuses the login'],
  [/^READONLY\b/, 'is read-only: it is a replica'],
  [/^MISCONF\b/, 'refuses writes: it cannot write to its disk'],
  [/^LOADING\b/, 'is loading its data'],
];

function reasonOf(error: unknown): string | undefined {
  return reasons.find(([beginning]) => beginning.test(messageOf(error)))?.[1];
}

/** Why Redis cannot serve though it answers, and what else is worth a word, for anybody to read. */
interface RedisTrouble {
  readonly reason?: string;
  readonly remark?: string;
}

/** @throws what says nothing that an operator could do, such as that nobody listens. */
export async function redisTrouble(redis: Redis, { prefix }: RedisKeys): Promise<RedisTrouble> {
  const key = `${prefix}:written`;
  const answers = await redis.pipeline().info('cluster').set(key, '1', 'EX', 60).exec();
  const [info, written] = answers ?? [];
  if (typeof info?.[1] === 'string' && /^cluster_enabled:1/m.test(info[1]))
    return { reason: 'is a Redis Cluster, which is not supported' };
  const error = written?.[0] ?? info?.[0];
  // What is cached is served all the same, and jobs are accepted.
  if (error?.message.startsWith('OOM') === true) return { remark: 'is full' };
  const isRefused = error?.message.startsWith('NOPERM') === true;
  if (error !== null && error !== undefined && !isRefused) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    return { reason };
  }
  const refused = await refusedCommands(redis, prefix);
  if (refused.length > 0) return { reason: `refuses required commands: ${refused.join(', ')}` };
  return isRefused ? { reason: 'refuses required commands' } : {};
}

/** Time (ms) after which a process ends that has given up, whatever its end waits for. */
const endMs = 5_000;

/**
 * Checks once, as soon as Redis answers, whether it accepts all our commands. A refused command would otherwise show as a
 * worker that waits forever: the process logs what is refused and ends with exit code 1. A Cluster is logged, and health
 * reports it.
 */
export function checkRightsAtStart({
  redis,
  keys: { prefix },
  log,
  shutdown,
}: {
  readonly redis: Redis;
  readonly keys: RedisKeys;
  readonly log: Logger;
  readonly shutdown: Shutdown;
}): void {
  redis.once('ready', () => {
    refusedCommands(redis, prefix).then(
      (refused) => {
        if (refused.length === 0) return;
        const user = redis.options.username ?? 'default';
        const needed = `ACL SETUSER ${user} ~${prefix}:* &${prefix}:* ${neededRules}`;
        log.fatal(
          { user, refused, needed },
          'Redis refuses required commands: run the ACL command in `needed` on Redis, then restart; ending the process',
        );
        setTimeout(() => process.exit(1), endMs).unref();
        void shutdown.run('Redis refuses commands').then(() => process.exit(1));
      },
      (error: unknown) => {
        const reason = reasonOf(error) ?? messageOf(error);
        log.warn(
          { reason },
          'could not check whether the Redis user may run every required command; /health/ready shows if Redis refuses one',
        );
      },
    );
    redis.info('cluster').then(
      (info) => {
        if (/^cluster_enabled:1/m.test(info))
          log.error(
            'Redis Cluster is not supported: set REDIS_URL to a single server (it may have replicas)',
          );
      },
      () => undefined,
    );
  });
}
