import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { grantInMs } from '../../src/domain/budget-state.ts';
import { createEnqueueRefresh } from '../../src/features/quotes/enqueue-refresh.ts';
import { retryAfterSeconds } from '../../src/platform/http/retry-after.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { openQueues, type Queues } from '../../src/platform/queue/queues.ts';
import { closeRedis, openRedis } from '../../src/platform/redis/connections.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

describe('calls that wait before a user', () => {
  const log = silentLogger();
  const prefix = uniquePrefix();
  let redis: Redis;
  let queues: Queues;

  before(async () => {
    const { redisUrl } = await services();
    redis = openRedis({ url: redisUrl, role: 'command', name: 'test', log });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
    queues = openQueues({ redis, prefix, clock: systemClock, log });
  });
  after(async () => {
    await queues.close();
    await flushPrefix(redis, prefix);
    await closeRedis(redis);
  });

  it('are the jobs that users wait for, those put back until later too, and not what nobody waits for', async () => {
    const enqueue = createEnqueueRefresh(queues);
    const wanted = { path: '/coins/x', freshMs: 1, requester: undefined };
    await enqueue.document('one', wanted);
    await enqueue.document('two', wanted);
    await enqueue.quotes('usd', 'interactive');
    await enqueue.quotes('eur', 'interactive', 60_000);
    await enqueue.markets('usd', { page: 3, urgency: 'warming' });
    await enqueue.quotes('usd', 'backfill', 60_000);
    await enqueue.assets();
    expect(Object.fromEntries(await queues.urgent('refresh', 2))).to.deep.equal({
      'document.refresh': 2,
      'quotes.refresh': 2,
    });
  });

  it('are counted into when to come back', async () => {
    const budget = { nextGrantInMs: 0, grantsInMs: [0, 0, 2_500, 4_000], blockedForMs: 0, spacingMs: 2_000 };
    const after = (calls: number, why: 'pending' | 'unavailable' = 'pending') =>
      retryAfterSeconds(
        why,
        { budgetState: () => Promise.resolve(budget), callsAhead: () => Promise.resolve(calls) },
        'alone',
      );
    expect([await after(1), await after(3), await after(4)]).to.deep.equal([1, 3, 4]);
    expect(await after(6), 'beyond what is foretold').to.equal(8);
    expect(await after(6, 'unavailable')).to.equal(5);
    expect(grantInMs({ ...budget, blockedForMs: 9_000 }, 1)).to.equal(9_000);
  });
});
