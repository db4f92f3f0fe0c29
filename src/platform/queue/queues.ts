import { Queue, type JobsOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { queueNames, type QueueName, registry, type JobData, type JobName } from '../../../jobs/registry.ts';
import type { Clock } from '../concurrency/clock.ts';
import { withDeadline } from '../concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../observability/logger.ts';
import { redisScript, runScript } from '../redis/redis-script.ts';

/** An add that takes longer than this (ms) has failed for its caller; it may still succeed later, which is harmless. */
const addDeadlineMs = 1_500;

/** Jobs of each state that are counted by their priority. */
const maxCounted = 300;

/** KEYS: prioritized jobs, active, delayed. ARGV: priority, prefix of jobs. Names of the jobs that are so urgent; the score of a prioritized one begins with its priority. */
const urgentScript = redisScript(`
local names = {}
local function note(ids)
  for _, id in ipairs(ids) do
    local name, priority = unpack(redis.call('HMGET', ARGV[2] .. id, 'name', 'priority'))
    if name and tonumber(priority or '0') <= tonumber(ARGV[1]) then names[#names + 1] = name end
  end
end
note(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', (ARGV[1] + 1) * 2 ^ 32), 'LIMIT', 0, ${maxCounted}))
note(redis.call('LRANGE', KEYS[2], 0, ${maxCounted - 1}))
note(redis.call('ZRANGE', KEYS[3], 0, ${maxCounted - 1}))
return names`);

/** Producer side of all queues. */
export interface Queues {
  /** Adds a job. @throws when Redis does not take it in time. */
  add<N extends JobName>(name: N, data: JobData<N>, options?: JobsOptions): Promise<void>;
  /** Whether a job with this deduplication id waits or runs, so that adding another would change nothing. @throws when Redis is away. */
  has(name: JobName, deduplicationId: string): Promise<boolean>;
  /** Jobs by state of one queue, for metrics and health. @throws when Redis is not connected. */
  counts(queue: QueueName): Promise<Readonly<Record<string, number>>>;
  /**
   * Removes a queue of an earlier version whose jobs were all periodic, schedules included, unless a job of it runs. Processes of
   * that version that still run make it again. @throws when Redis is not connected.
   */
  removePeriodic(name: string): Promise<void>;
  /** Jobs of this priority or a more urgent one that wait or run, by name, some hundreds at most. @throws when Redis is away. */
  urgent(queue: QueueName, priority: number): Promise<ReadonlyMap<JobName, number>>;
  /** The BullMQ queue itself, for schedules and tests. */
  handle(queue: QueueName): Queue;
  close(): Promise<void>;
}

/** Opens the producer side of every queue on one shared connection. */
export function openQueues({
  redis,
  prefix,
  clock,
  log,
}: {
  /** A `command` connection. */
  readonly redis: Redis;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
}): Queues {
  const open = (name: QueueName): Queue => {
    // With the version check a handle is dead for ever when Redis goes away in the moment in which it is made ready.
    const queue = new Queue(name, { connection: redis, prefix, skipVersionCheck: true });
    queue.on('error', (error) => log.debug({ queue: name, reason: messageOf(error) }, 'queue error'));
    return queue;
  };
  const handles = Object.fromEntries(queueNames.map((name) => [name, open(name)])) as Record<
    QueueName,
    Queue
  >;

  // BullMQ would queue requests without limit until Redis is back. The caller can ask again.
  const refuseWithoutRedis = (): void => {
    if (redis.status !== 'ready') throw new Error('Redis is not connected');
  };

  return {
    async add(name, data, options) {
      refuseWithoutRedis();
      const { queue, options: defaults } = registry[name];
      // The fleet's time: a delay counts from it.
      const adding = handles[queue].add(name, data, { timestamp: clock.now(), ...defaults, ...options });
      // The deadline may pass first; a later rejection then belongs to nobody.
      adding.catch(() => undefined);
      await withDeadline(adding, addDeadlineMs, `adding ${name}`);
    },
    async has(name, deduplicationId) {
      refuseWithoutRedis();
      return (await handles[registry[name].queue].getDeduplicationJobId(deduplicationId)) != null;
    },
    async counts(queue) {
      refuseWithoutRedis();
      return await handles[queue].getJobCounts('waiting', 'active', 'delayed', 'failed', 'prioritized');
    },
    async removePeriodic(name) {
      refuseWithoutRedis();
      if ((await redis.exists(`${prefix}:${name}:meta`)) === 0) return;
      const queue = new Queue(name, { connection: redis, prefix, skipVersionCheck: true });
      try {
        for (const { key } of await queue.getJobSchedulers()) await queue.removeJobScheduler(key);
        // A running job has a lock; one whose process has died has none.
        const active = await queue.getActive();
        const locks = active.map(({ id = '' }) => `${prefix}:${name}:${id}:lock`);
        if (locks.length === 0 || (await redis.exists(...locks)) === 0)
          await queue.obliterate({ force: true });
      } finally {
        await queue.close();
      }
    },
    async urgent(queue, priority) {
      refuseWithoutRedis();
      const jobs = `${prefix}:${queue}:`;
      const keys = ['prioritized', 'active', 'delayed'].map((state) => jobs + state);
      const names = (await runScript(redis, urgentScript, { keys, args: [priority, jobs] })) as JobName[];
      const counts = new Map<JobName, number>();
      for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
      return counts;
    },
    handle: (queue) => handles[queue],
    async close() {
      await Promise.allSettled(Object.values(handles).map((queue) => queue.close()));
    },
  };
}
