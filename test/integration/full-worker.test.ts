import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { openQueues, type Queues } from '../../src/platform/queue/queues.ts';
import { closeRedis, openRedis } from '../../src/platform/redis/connections.ts';
import { createWorker, type RunningWorker } from '../../workers/runtime/create-worker.ts';
import type { JobContext, ProcessorsOf } from '../../workers/runtime/processor.ts';
import { Requeue } from '../../workers/runtime/requeue.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

describe('a worker whose jobs wait', () => {
  const log = silentLogger();
  let redis: Redis;
  let blocking: Redis;
  let queues: Queues;
  let prefix: string;
  let worker: RunningWorker;
  /** Starts of each job, by its work. */
  let starts: string[];
  let letGo: Map<string, () => void>;
  /** What stops each job in its newest start. */
  let waits: Map<string, AbortSignal>;
  /** Works that cannot be done at first, and after what time they are to be tried again (ms). */
  let putBack: Map<string, number>;

  before(async () => {
    const { redisUrl } = await services();
    redis = openRedis({ url: redisUrl, role: 'command', name: 'test', log });
    blocking = openRedis({ url: redisUrl, role: 'blocking', name: 'test', log });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
  });
  beforeEach(() => {
    prefix = uniquePrefix();
    queues = openQueues({ redis, prefix, clock: systemClock, log });
    [starts, letGo, putBack, waits] = [[], new Map(), new Map(), new Map()];
    const processor = ({ workKey }: { workKey: string }, { waitSignal }: JobContext): Promise<null> => {
      starts.push(workKey);
      waits.set(workKey, waitSignal);
      // A worker that pauses may have asked for a job a moment before.
      if (waitSignal.aborted) return Promise.reject(waitSignal.reason as Error);
      const delayMs = putBack.get(workKey);
      if (delayMs !== undefined) return Promise.reject(new Requeue('no budget', delayMs));
      return new Promise((resolve, reject) => {
        letGo.set(workKey, () => resolve(null));
        waitSignal.addEventListener('abort', () => reject(waitSignal.reason as Error));
      });
    };
    const processors = { 'bulk.fetch': processor, 'portfolio.fetch': processor } as ProcessorsOf<'requests'>;
    worker = createWorker({
      queue: 'requests',
      processors,
      redis: blocking,
      prefix,
      concurrency: 2,
      givesWay: true,
      log,
    });
  });
  afterEach(async () => {
    await worker.close(1_000);
    await queues.close();
    await flushPrefix(redis, prefix);
  });
  after(() => Promise.all([closeRedis(redis), closeRedis(blocking)]));

  const add = (workKey: string, priority: number): Promise<void> =>
    queues.add(
      'bulk.fetch',
      { workKey, currency: 'usd', assets: ['bitcoin'] },
      { priority, deduplication: { id: workKey } },
    );
  const attemptsOf = async (workKey: string) => {
    const jobs = await queues.handle('requests').getJobs();
    return jobs.find(({ data }) => (data as { workKey: string }).workKey === workKey)?.attemptsMade;
  };

  it('makes room for a smaller job when it is full, and goes on with the larger one later', async () => {
    await add('large-1', 250);
    await waitFor(() => starts.length === 1, { what: 'the first' });
    await add('large-2', 250);
    await waitFor(() => starts.length === 2, { what: 'a full worker' });
    await add('small', 1);
    await waitFor(() => starts.includes('small'), { what: 'the small job' });
    expect(await queues.has('bulk.fetch', 'large-2'), 'it waits').to.equal(true);
    letGo.get('small')?.();
    await waitFor(() => starts.filter((each) => each === 'large-2').length === 2, {
      what: 'the one that made room',
    });
    expect(starts).to.deep.equal(['large-1', 'large-2', 'small', 'large-2']);
    expect(await attemptsOf('large-2')).to.equal(0);
  });

  it('makes no room for a job that is as large', async () => {
    for (const workKey of ['first', 'second', 'third']) await add(workKey, 20);
    await waitFor(() => starts.length === 2, { what: 'a full worker' });
    await add('small', 1);
    await waitFor(() => starts.includes('small'), { what: 'the small job' });
    expect(starts.filter((each) => each === 'third')).to.deep.equal([]);
  });

  it('starts a small job before large ones that have stalled', async () => {
    const of = `${prefix}:requests:`;
    for (const workKey of ['held-1', 'held-2']) await add(workKey, 1);
    await waitFor(() => starts.length === 2, { what: 'a full worker' });
    for (const workKey of ['large-1', 'large-2', 'large-3']) await add(workKey, 250);
    // As if a process had died with them.
    for (const id of await redis.zrange(`${of}prioritized`, 0, '-1')) {
      await redis.zrem(`${of}prioritized`, id);
      await redis.lpush(`${of}active`, id);
    }
    await add('small', 2);
    await waitFor(async () => (await redis.zcard(`${of}prioritized`)) === 4, { what: 'the stalled ones' });
    letGo.get('held-1')?.();
    await waitFor(() => starts.length === 3, { what: 'the next job' });
    expect(starts[2]).to.equal('small');
    for (const workKey of ['small', 'large-1', 'large-2', 'large-3']) {
      await waitFor(() => starts.includes(workKey), { what: workKey });
      letGo.get(workKey)?.();
    }
    letGo.get('held-2')?.();
    await waitFor(() => worker.active() === 0, { what: 'all to end' });
  }).timeout(120_000);

  it('makes room though a larger job has been here before', async () => {
    await add('largest', 300);
    await waitFor(() => letGo.has('largest'), { what: 'the largest' });
    letGo.get('largest')?.();
    await waitFor(() => worker.active() === 0, { what: 'its end' });
    for (const workKey of ['large-1', 'large-2']) await add(workKey, 250);
    await waitFor(() => starts.length === 3, { what: 'a full worker' });
    await add('small', 1);
    await waitFor(() => starts.includes('small'), { what: 'the small job', timeoutMs: 20_000 });
  });

  it('keeps a job that was put back for a while until then, and counts no attempt', async () => {
    putBack.set('poor', 60_000);
    await add('poor', 1);
    const [job] = await waitFor(
      async () => {
        const delayed = await queues.handle('requests').getDelayed();
        return delayed.length > 0 && delayed;
      },
      { what: 'the job to wait' },
    );
    expect(job?.delay).to.be.within(50_000, 60_000);
    expect(await attemptsOf('poor')).to.equal(0);
    expect(starts).to.deep.equal(['poor']);
  });

  it('does not count a stall against a job that did not end its process', async () => {
    await add('long', 1);
    await waitFor(() => starts.length === 1, { what: 'the job' });
    for (let outage = 1; outage <= 5; outage += 1) {
      const [job] = await queues.handle('requests').getJobs(['active']);
      await redis.del(`${prefix}:requests:${job?.id}:lock`);
      await waitFor(() => starts.length === outage + 1, { what: `start ${outage + 1}` });
    }
    letGo.get('long')?.();
    await waitFor(async () => (await queues.counts('requests'))['active'] === 0, { what: 'its end' });
    expect((await queues.counts('requests'))['failed']).to.equal(0);
  }).timeout(120_000);

  it('puts jobs back that wait when it is paused, counts no attempt, and goes on later', async () => {
    await add('waits', 1);
    await waitFor(() => starts.length === 1, { what: 'the job' });
    worker.pause();
    await waitFor(() => worker.active() === 0, { what: 'the job to be put back' });
    expect([worker.isPaused(), await attemptsOf('waits')]).to.deep.equal([true, 0]);
    expect(waits.get('waits')?.aborted).to.equal(true);
    const before = worker.lastActivityAt();
    await add('later', 2);
    worker.resume();
    await waitFor(() => ['waits', 'later'].every((each) => waits.get(each)?.aborted === false), {
      what: 'both to run',
    });
    expect([worker.isPaused(), worker.active()]).to.deep.equal([false, 2]);
    expect(worker.lastActivityAt()).to.be.above(before);
  });
});

describe('a worker whose jobs fail', () => {
  const { log, lines } = recordingLogger();
  let redis: Redis;
  let blocking: Redis;
  let queues: Queues;
  let prefix: string;
  let worker: RunningWorker;
  let contexts: JobContext[];
  let outcome: () => Promise<null>;
  let dead: unknown[][];

  before(async () => {
    const { redisUrl: url } = await services();
    redis = openRedis({ url, role: 'command', name: 'test', log });
    blocking = openRedis({ url, role: 'blocking', name: 'test', log });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
  });
  beforeEach(() => {
    prefix = uniquePrefix();
    queues = openQueues({ redis, prefix, clock: systemClock, log });
    [contexts, dead, lines.length] = [[], [], 0];
    outcome = () => Promise.resolve(null);
    const processor = (_data: unknown, context: JobContext): Promise<null> => {
      contexts.push(context);
      return outcome();
    };
    const processors = { 'bulk.fetch': processor } as unknown as ProcessorsOf<'requests'>;
    const onFinalFailure = (...job: unknown[]): Promise<void> => {
      dead.push(job);
      return dead.length > 1 ? Promise.reject(new Error('Postgres is away')) : Promise.resolve();
    };
    worker = createWorker({
      queue: 'requests',
      processors,
      redis: blocking,
      prefix,
      concurrency: 1,
      log,
      onFinalFailure,
    });
  });
  afterEach(async () => {
    await worker.close(1_000);
    await queues.close();
    await flushPrefix(redis, prefix);
  });
  after(() => Promise.all([closeRedis(redis), closeRedis(blocking)]));

  const data = { workKey: 'w', currency: 'usd', assets: ['bitcoin'] };
  const quick = { attempts: 3, backoff: { type: 'fixed', delay: 1 } } as const;
  const ended = (count: number) => waitFor(() => dead.length >= count, { what: `${count} dead jobs` });

  it('tries them again as often as they may, says which is the last time, and reports the end once', async () => {
    outcome = () => Promise.reject(new Error('out of luck'));
    const addedAt = Date.now();
    await queues.add('bulk.fetch', data, quick);
    await ended(1);
    expect(contexts.map(({ start, isLastAttempt }) => [start, isLastAttempt])).to.deep.equal([
      [1, false],
      [2, false],
      [3, true],
    ]);
    for (const context of contexts) expect(context.addedAt).to.be.within(addedAt, Date.now());
    expect(dead).to.deep.equal([['bulk.fetch', data, 'out of luck']]);
    const failures = lines.filter(({ message }) => message === 'a job failed');
    expect(failures.map(({ level, fields }) => [level, fields['name'], fields['reason']])).to.deep.equal(
      Array.from({ length: 3 }, () => ['warn', 'bulk.fetch', 'out of luck']),
    );
  });

  it('runs none with data that is not valid, none that nobody knows, and tries neither again', async () => {
    await queues.add('bulk.fetch', { ...data, assets: [] }, quick);
    await queues.handle('requests').add('no.such', {}, quick);
    await ended(2);
    expect(contexts).to.deep.equal([]);
    const reasons = dead.map(([name, , reason]) => [name, String(reason).split(':')[0]]);
    expect(reasons).to.have.deep.members([
      ['bulk.fetch', 'the data of the job is not valid'],
      [
        'no.such',
        'this version has no processor for no.such on the queue requests (was the version rolled back?)',
      ],
    ]);
    const attempts = lines.filter(({ message }) => message === 'a job failed');
    expect(attempts.map(({ fields }) => fields['name'])).to.have.members(['bulk.fetch', 'no.such']);
    // The second could not be reported.
    const unreported = await waitFor(() => lines.find(({ level }) => level === 'error'), { what: 'the log' });
    expect(unreported.fields['reason']).to.equal('Postgres is away');
  });

  it('lets the same work be queued again as soon as a job says so', async () => {
    let goOn = (): void => undefined;
    const held = new Promise<null>((resolve) => (goOn = () => resolve(null)));
    outcome = () => held;
    const options = { deduplication: { id: 'w' } };
    await queues.add('bulk.fetch', data, options);
    await waitFor(() => contexts.length === 1, { what: 'the job' });
    expect(await queues.has('bulk.fetch', 'w')).to.equal(true);
    await contexts[0]?.releaseDeduplication();
    expect(await queues.has('bulk.fetch', 'w')).to.equal(false);
    await queues.add('bulk.fetch', data, options);
    goOn();
    await waitFor(() => contexts.length === 2, { what: 'the next' });
  });

  it('says in the log which jobs it leaves when it ends, and does not wait for them', async () => {
    let end = (): void => undefined;
    const held = new Promise<null>((resolve) => (end = () => resolve(null)));
    outcome = () => held;
    await queues.add('bulk.fetch', data);
    await waitFor(() => contexts.length === 1, { what: 'the job' });
    await worker.close(10);
    expect(worker.active()).to.equal(1);
    expect(lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields)).to.deep.equal([
      { queue: 'requests', active: 1 },
    ]);
    end();
  });
});
