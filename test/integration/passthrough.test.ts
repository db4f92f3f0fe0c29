/** Documents between API processes and workers, over a real Redis: bounds, one fetch for a crowd, stale values in need. */
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { PassthroughReader } from '../../src/features/coingecko-api/passthrough-reader.ts';
import {
  createPassthroughStore,
  passthroughId,
  outOfReachReason,
  type PassthroughStore,
} from '../../src/features/coingecko-api/passthrough-store.ts';
import type { Demand } from '../../src/features/quotes/demand/demand.ts';
import { createChannel } from '../../src/platform/redis/channel.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import {
  BudgetWaitError,
  ProviderConnectionError,
  ProviderRangeError,
  ProviderRejectedError,
} from '../../src/features/upstream/provider-errors.ts';
import type { GrantedCall, RequestLimiter } from '../../src/features/upstream/request-limiter-contract.ts';
import { refreshDocument } from '../../workers/processors/coingecko-api/refresh-document.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { Requeue } from '../../workers/runtime/requeue.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

const joe = '01934c2a-0000-7000-8000-000000000001';
const path = '/search/trending';
const freshMs = 60_000;
const never = new AbortController().signal;
const context = { callSignal: never, waitSignal: never, signal: never } as unknown as JobContext;

describe('documents', () => {
  let redis: Redis;
  let subscriber: Redis;
  let keys: RedisKeys;
  let store: PassthroughStore;
  let reader: PassthroughReader;
  let enqueued: string[];
  /** By how much (ms) the reader's clock is ahead. */
  let aheadMs: number;
  /** What a job does when it is kicked. */
  let onEnqueue: () => Promise<unknown>;

  before(async () => {
    const { redisUrl } = await services();
    redis = new Redis(redisUrl);
    subscriber = new Redis(redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    store = createPassthroughStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
    enqueued = [];
    aheadMs = 0;
    onEnqueue = () => Promise.resolve();
    reader = new PassthroughReader({
      store,
      channel: createChannel({ redis, subscriber, channel: keys.passthroughChannel, schema: z.string() }),
      clock: { now: () => Date.now() + aheadMs },
      enqueue: async ({ path: wanted }) => {
        enqueued.push(wanted);
        await onEnqueue();
      },
      pendingState: () => Promise.resolve('rate_limited'),
    });
  });
  afterEach(async () => {
    await flushPrefix(redis, keys.prefix);
  });
  after(() => {
    redis.disconnect();
    subscriber.disconnect();
  });

  const read = (waitMs = 5_000, of = path) =>
    reader.read({ path: of, freshMs, waitMs, requester: { userId: joe } });

  interface Upstream {
    readonly fetchDocument?: () => Promise<string>;
    readonly charges?: string[];
  }

  async function refresh({ fetchDocument, charges = [] }: Upstream): Promise<boolean> {
    const grant = { signal: never, release: () => Promise.resolve() } as unknown as GrantedCall;
    const limiter = {
      run: (_requested: unknown, call: (grant: GrantedCall) => Promise<unknown>) => call(grant),
    } as unknown as RequestLimiter;
    const provider = { source: 'test', fetchDocument } as never;
    const deps = {
      provider,
      limiter,
      demand: { mayUseNonBatchSlot: () => Promise.resolve(true) } as unknown as Demand,
      clock: systemClock,
      log: silentLogger(),
      notFoundMs: 60_000,
      charge: (who: { userId: string }) => void charges.push(who.userId),
      documents: store,
      passthroughChannel: createChannel({
        redis,
        subscriber,
        channel: keys.passthroughChannel,
        schema: z.string(),
      }),
    };
    return (await refreshDocument(deps, { path, freshMs, requester: joe }, context)).fetched;
  }

  it('are fetched once for a crowd, charged to the first, and then held', async () => {
    const charges: string[] = [];
    onEnqueue = () => refresh({ fetchDocument: () => Promise.resolve('{"a":1.0}'), charges });
    const readings = await Promise.all(Array.from({ length: 20 }, () => read()));
    for (const reading of readings) {
      expect(reading.state).to.equal('fresh');
      expect(reading.response?.json).to.equal('{"a":1.0}');
    }
    expect((await read()).state).to.equal('fresh');
    expect(enqueued).to.deep.equal([path]);
    expect(charges).to.deep.equal([joe]);
    expect(await refresh({ fetchDocument: () => Promise.reject(new Error('nobody calls')) })).to.equal(false);
  });

  it('that a process holds are fresh for their time, and asked for again after it', async () => {
    onEnqueue = () => refresh({ fetchDocument: () => Promise.resolve('{"a":1}') });
    await read();
    aheadMs = freshMs + 1;
    onEnqueue = () => Promise.resolve();
    expect((await read()).state).to.equal('stale');
    expect(enqueued).to.have.length(2);
  });

  it('are served stale at once while a newer one is fetched, and while the source fails', async () => {
    await store.write(path, { json: '{"old":1}', receivedAt: Date.now() - freshMs - 1 });
    onEnqueue = () =>
      refresh({ fetchDocument: () => Promise.reject(new ProviderRejectedError('no', { provider: 'test' })) });
    const reading = await read();
    expect(reading.state).to.equal('stale');
    expect(reading.response?.json).to.equal('{"old":1}');
    expect(enqueued).to.deep.equal([path]);
    const { response, failure } = await store.read(path);
    expect(response?.json).to.equal('{"old":1}');
    expect(failure?.state).to.equal('unavailable');
  });

  it('that do not exist are remembered, and asked for no more', async () => {
    const error = new ProviderRejectedError('no such coin', { provider: 'test', providerStatus: 404 });
    onEnqueue = () => refresh({ fetchDocument: () => Promise.reject(error) });
    expect((await read()).state).to.equal('not_found');
    expect((await read()).state).to.equal('not_found');
    expect(enqueued).to.have.length(1);
  });

  it('of a time that the source does not reach to are refused with the reason, for an hour', async () => {
    const error = new ProviderRangeError('too far', { provider: 'test', providerStatus: 401 });
    onEnqueue = () => refresh({ fetchDocument: () => Promise.reject(error) });
    expect(await read()).to.include({ state: 'unavailable', reason: outOfReachReason });
    expect((await store.read(path)).failure?.until).to.be.above(Date.now() + 3_000_000);
  });

  it('that the source forbids are refused in its words', async () => {
    const said = 'test answered 403: 10005: only for paying customers';
    const error = new ProviderRejectedError(said, { provider: 'test', providerStatus: 403 });
    onEnqueue = () => refresh({ fetchDocument: () => Promise.reject(error) });
    const refusal = { state: 'forbidden', reason: `the price source refuses our requests: ${said}` };
    expect(await read()).to.include(refusal);
    expect(await read()).to.include(refusal);
    expect(enqueued).to.have.length(1);
  });

  it('of a source that has none are not to be had', async () => {
    onEnqueue = () => refresh({});
    expect((await read()).state).to.equal('unavailable');
  });

  it('that do not come in time are not waited for any longer', async () => {
    expect(await read(50)).to.deep.equal({ state: 'rate_limited' });
  });

  it('go back into the queue while there is no budget, and free for another to fetch', async () => {
    const wait = new BudgetWaitError({ waitMs: 700, reason: 'window' });
    const ended = await refresh({ fetchDocument: () => Promise.reject(wait) }).catch(
      (error: unknown) => error,
    );
    expect(ended).to.be.instanceOf(Requeue);
    expect(await store.lease(path, 1_000)).to.equal(true);
  });

  it('are not fetched by two jobs at the same time', async () => {
    expect(await store.lease(path, 10_000)).to.equal(true);
    expect(await refresh({ fetchDocument: () => Promise.reject(new Error('nobody calls')) })).to.equal(false);
  });

  it('are remembered as unavailable when the source stays away', async function () {
    this.timeout(10_000);
    const away = new ProviderConnectionError('reset', { provider: 'test' });
    await refresh({ fetchDocument: () => Promise.reject(away) });
    expect((await store.read(path)).failure?.state).to.equal('unavailable');
  });

  describe('within bounds', () => {
    const bounds = { documents: 3, bytes: 100, bytesEach: 60, wanted: 3, wantedOfOne: 2 };
    beforeEach(() => {
      store = createPassthroughStore({ redis, clock: systemClock, keys, retentionSeconds: 60, bounds });
    });

    async function held(): Promise<string[]> {
      const names = await redis.keys(`${keys.documents}body:*`);
      const ids = new Set(names.map((name) => name.split(':').at(-1)));
      return ['/1', '/2', '/3', '/4', '/5'].filter((each) => ids.has(passthroughId(each)));
    }
    const write = (of: string, bytes: number, at: number): Promise<void> =>
      store.write(of, { json: 'x'.repeat(bytes), receivedAt: Date.now() + at });

    it('the oldest go when there are too many', async () => {
      for (const [index, each] of ['/1', '/2', '/3', '/4'].entries()) await write(each, 10, index);
      expect(await held()).to.deep.equal(['/2', '/3', '/4']);
    });

    it('the oldest go when they take too much, also after one was replaced; one too large is not taken', async () => {
      await write('/1', 40, 0);
      await write('/1', 50, 1);
      await write('/2', 50, 2);
      expect(await held()).to.deep.equal(['/1', '/2']);
      await write('/3', 61, 3);
      expect(await held()).to.deep.equal(['/1', '/2']);
      await write('/4', 20, 4);
      expect(await held()).to.deep.equal(['/2', '/4']);
      expect(await redis.hget(`${keys.documents}sizes`, '')).to.equal('70');
    });

    it('an older answer never replaces a newer one', async () => {
      await write('/1', 10, 1_000);
      await write('/1', 20, 0);
      expect((await store.read('/1')).response?.json).to.have.length(10);
    });

    it('nobody wants more than his share at the same time, and all together not more than theirs', async () => {
      expect([await store.want('/1', 'a'), await store.want('/2', 'a')]).to.deep.equal([true, true]);
      expect(await store.want('/1', 'a'), 'the same again').to.equal(true);
      expect(await store.want('/3', 'a'), 'too much for one').to.equal(false);
      expect(await store.want('/3', 'b')).to.equal(true);
      expect(await store.want('/4', 'b'), 'too much for all').to.equal(false);
      await store.settle('/1', 'a');
      expect(await store.want('/4', 'b')).to.equal(true);
      // The place of one who has been served is free, for others and for himself.
      await store.settle('/3', 'b');
      expect(await store.want('/5', 'a')).to.equal(true);
    });
  });
});
