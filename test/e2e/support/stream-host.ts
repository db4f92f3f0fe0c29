/**
 * The streams of an API process over a real Redis and a real server, without what surrounds them there: a test may watch at
 * any interval, say what time it is and look at the sockets.
 */
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { createServer, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { directoryOver } from '../../../src/features/assets/asset-directory.ts';
import { createAssetIndex } from '../../../src/features/assets/asset-index.ts';
import { createLocalCache, type LocalCache } from '../../../src/features/quotes/local-cache.ts';
import type { JobRecord } from '../../../src/domain/job.ts';
import { createTicks } from '../../../src/features/quotes/ticks.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { closeRedis, openRedis, type RedisRole } from '../../../src/platform/redis/connections.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { createShutdown } from '../../../src/platform/observability/shutdown.ts';
import { createRealtime } from '../../../src/platform/realtime/realtime.ts';
import { createJobEventReader, type JobEventReader } from '../../../src/features/jobs/job-event-reader.ts';
import { createJobStreams, type JobStreams } from '../../../src/features/jobs/job-streams.ts';
import { createPriceStreams, type PriceStreams } from '../../../src/features/quotes/price-streams.ts';
import { createPriceHub, type PriceHub } from '../../../src/features/quotes/price-hub.ts';
import { StreamRegistry } from '../../../src/platform/realtime/stream-registry.ts';
import { freePort } from '../../../embedded/free-port.ts';
import { uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { openFeed, type Feed } from './feed.ts';
import { viewer } from '../../support/viewer.ts';

export interface StreamHost {
  readonly url: string;
  readonly port: number;
  readonly feed: Feed;
  readonly localCache: LocalCache;
  readonly hub: PriceHub;
  readonly registry: StreamRegistry;
  /** Listeners of job events at this moment. */
  readonly listening: () => number;
  /** Open connections. */
  readonly sockets: ReadonlySet<Socket>;
  /** `/prices` of the coins, at an interval in milliseconds. */
  pricesUrl(coins: readonly string[], intervalMs?: number): string;
  /** `/jobs/<id>`, of a job that has begun and goes on for as long as the test. */
  jobUrl(jobId: string): string;
  /** Makes the clock of the streams go faster by so much (ms). */
  skip(ms: number): void;
  close(): Promise<void>;
}

const limits = { perUser: 10_000, perAddress: 10_000, inAll: 10_000 };
const log = silentLogger();

/** Starts the host; `redisUrl` in place of the Redis of the test run. */
export async function startStreamHost(redisUrl?: string): Promise<StreamHost> {
  const url = redisUrl ?? (await services()).redisUrl;
  const feed = await openFeed(url, uniquePrefix());
  const open = (role: RedisRole, name: string) => openRedis({ url, role, name, log });
  const connections = [
    open('subscriber', 'ticks'),
    open('blocking', 'job-events'),
    open('command', 'commands'),
  ];
  const [subscriber, blocking, redis] = connections as [
    (typeof connections)[0],
    (typeof connections)[0],
    (typeof connections)[0],
  ];
  let skipped = 0;
  const clock = { now: () => Date.now() + skipped };
  const localCache = createLocalCache();
  const ticks = createTicks({ clock: systemClock, redis: feed.redis, subscriber, channel: feed.keys.ticks });
  ticks.listen({ onTick: (tick) => localCache.onTick(tick) });
  const subscribed = new Promise<void>((resolve) => ticks.listen({ onGap: resolve }));
  const registry = new StreamRegistry({ clock, limits, isRevoked: () => false });
  const hub = createPriceHub({
    epoch: 'host',
    ticks,
    clock,
    log,
    quotes: {
      get: (currency, assetId) => localCache.get(currency, assetId),
      failure: (currency, assetId, now) => localCache.failure(currency, assetId, now),
      load: () => Promise.resolve(),
    },
    want: () => Promise.resolve(),
    freshMs: 600_000,
    renewAfterMs: 600_000,
  });
  const counted = countListeners(
    createJobEventReader({
      blocking,
      redis,
      streamKey: feed.keys.jobEvents,
      epochKey: feed.keys.jobEventsEpoch,
      log,
    }),
  );
  const { reader } = counted;
  const realtime = createRealtime(
    { config: loadConfig({}), clock, log, shutdown: createShutdown(log) },
    { registry, isRevoked: () => false, issueTicket: () => ({ ticket: 'ticket', expiresInSeconds: 60 }) },
  );
  const jobs = createJobStreams({
    realtime,
    reader,
    clock,
    log,
    findEnded: () => Promise.resolve([]),
    findJob: () => Promise.reject(new Error('no WebSockets here')),
  });
  const prices = createPriceStreams({
    assets: directoryOver(() => createAssetIndex([])),
    realtime,
    hub,
    clock,
  });
  const server = await serve({ jobs, prices }, clock.now());
  await subscribed;
  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port,
    feed,
    localCache,
    hub,
    registry,
    listening: counted.listening,
    sockets: server.sockets,
    pricesUrl: (coins, intervalMs = 0) =>
      `http://127.0.0.1:${server.port}/prices?coins=${coins.join(',')}&interval_ms=${intervalMs}`,
    jobUrl: (jobId) => `http://127.0.0.1:${server.port}/jobs/${jobId}`,
    skip: (ms) => void (skipped += ms),
    async close() {
      registry.drain();
      jobs.close();
      await server.close();
      hub.close();
      await reader.close();
      await Promise.all(connections.map(closeRedis));
      await feed.close();
    },
  };
}

interface Serving {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

interface Streams {
  readonly jobs: JobStreams;
  readonly prices: PriceStreams;
}

async function serve(streams: Streams, startedAt: number): Promise<Serving> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const requested = new URL(request.url ?? '/', 'http://host');
    const header = request.headers['last-event-id'];
    const lastEventId = typeof header === 'string' ? header : undefined;
    open(streams, { requested, response, lastEventId, startedAt });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1', 4_096);
  await once(server, 'listening');
  return {
    port,
    sockets,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface Opening {
  readonly requested: URL;
  readonly response: ServerResponse;
  readonly lastEventId: string | undefined;
  readonly startedAt: number;
}

function open({ jobs, prices }: Streams, { requested, response, lastEventId, startedAt }: Opening): void {
  const who = { viewer, address: '127.0.0.1', response, lastEventId };
  const [, kind, id = ''] = requested.pathname.split('/');
  if (kind === 'jobs') {
    jobs.open({ ...who, job: runningJob(id, new Date(startedAt)) });
    return;
  }
  const assetIds = (requested.searchParams.get('coins') ?? '').split(',');
  const watch = { currency: 'usd', assetIds, intervalMs: Number(requested.searchParams.get('interval_ms')) };
  void prices.open({ ...who, watch, asPortfolio: false, maxUpdates: undefined });
}

function runningJob(id: string, createdAt: Date): JobRecord {
  return {
    id,
    userId: viewer.userId,
    name: 'bulk.fetch',
    state: 'running',
    done: 0,
    total: 1,
    version: 1,
    workKey: `work-of-${id}`,
    currency: 'usd',
    createdAt,
    startedAt: createdAt,
    finishedAt: null,
    error: null,
    resultJson: null,
  };
}

function countListeners(reader: JobEventReader): { reader: JobEventReader; listening: () => number } {
  const open = new Set<object>();
  return {
    listening: () => open.size,
    reader: {
      history: (request) => reader.history(request),
      oldestId: () => reader.oldestId(),
      epoch: () => reader.epoch(),
      close: () => reader.close(),
      subscribe(subjects, onEntry) {
        const subscription = reader.subscribe(subjects, onEntry);
        open.add(subscription);
        const close = (): void => {
          open.delete(subscription);
          subscription.close();
        };
        return { ready: subscription.ready, close };
      },
    },
  };
}
