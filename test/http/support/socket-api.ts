/** The real application with real streams, over quotes and job events that a test makes up, and a clock that it may move. */
import type { Socket } from 'node:net';
import { toCachedQuote, type CachedQuote, type QuoteFailure } from '../../../src/domain/cached-quote.ts';
import type { JobRecord } from '../../../src/domain/job.ts';
import type { Principal } from '../../../src/domain/principal.ts';
import type { JobEventEntry } from '../../../src/features/jobs/job-events.ts';
import type { TickListener } from '../../../src/features/quotes/ticks.ts';
import { directoryOver } from '../../../src/features/assets/asset-directory.ts';
import { createAssetIndex } from '../../../src/features/assets/asset-index.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { createShutdown } from '../../../src/platform/observability/shutdown.ts';
import { createRealtime } from '../../../src/platform/realtime/realtime.ts';
import { jobFollowedBy, seeJobs } from '../../../src/features/jobs/job-rights.ts';
import { createJobStreams } from '../../../src/features/jobs/job-streams.ts';
import { createPortfolioStreams } from '../../../src/features/portfolios/portfolio-stream.ts';
import { createPriceStreams } from '../../../src/features/quotes/price-streams.ts';
import { allowed } from '../../../src/platform/http/admission.ts';
import { createPriceHub, type PriceHub } from '../../../src/features/quotes/price-hub.ts';
import {
  StreamRegistry,
  type EndReason,
  type OpenStream,
} from '../../../src/platform/realtime/stream-registry.ts';
import type { WantRequest } from '../../../src/features/quotes/demand/demand.ts';
import { FakeClientJobs, jobRecord, startApi, type StandIns, type TestApi } from './ports.ts';
import { standInAccess } from './stand-in-access.ts';

export interface SocketApi extends TestApi {
  readonly hub: PriceHub;
  readonly registry: StreamRegistry;
  /** Listeners of job events at this moment. */
  readonly listening: () => number;
  readonly wants: readonly WantRequest[];
  /** Somebody observes prices. */
  readonly tick: (prices: Readonly<Record<string, number>>, currency?: string) => void;
  /** The provider does not know the asset. */
  readonly unknown: (assetId: string) => void;
  /** Says something of every job. */
  happen(entry: JobEventEntry): void;
  /** Looks at every stream so often, at this moment. */
  poll(times?: number): void;
  /** Connections that were opened, the oldest first. */
  readonly connections: ReadonlySet<Socket>;
  /** Most bytes that a connection has not taken. */
  unsentBytes(): number;
  /** Makes the clock of the streams go faster by so much (ms). */
  skip(ms: number): void;
  revoke(): void;
  /** Lets the database answer only when what this returns is called. */
  holdJobs(): () => void;
}

/** Any job of this owner may be followed, `ee` on a portfolio; those of others (`ff`) do not exist. */
class ManyJobs extends FakeClientJobs {
  /** The database answers no sooner. */
  open: Promise<void> = Promise.resolve();

  override async get(id: string): Promise<JobRecord> {
    await this.open;
    return id.endsWith('ff')
      ? Promise.reject(new NotFoundError('Job not found', 'job_not_found'))
      : Promise.resolve(
          jobRecord({
            id,
            name: id.endsWith('ee') ? 'performance.compute' : 'bulk.fetch',
            workKey: 'work',
            createdAt: new Date(),
          }),
        );
  }
}

/** Shows its streams, so that a test need not wait for their hearts to beat. */
class OpenRegistry extends StreamRegistry {
  readonly streams = new Set<OpenStream>();

  override add(stream: OpenStream): void {
    this.streams.add(stream);
    super.add(stream);
  }

  override closed(stream: OpenStream, reason: EndReason): void {
    this.streams.delete(stream);
    super.closed(stream, reason);
  }
}

const log = silentLogger();
const plenty = { perUser: 10_000, perAddress: 10_000, inAll: 10_000 };

/** Starts it. */
export async function startSocketApi(limits = plenty, different: Partial<StandIns> = {}): Promise<SocketApi> {
  let skipped = 0;
  const clock = { now: () => Date.now() + skipped };
  const { assets = directoryOver(() => createAssetIndex([])) } = different;
  const market = standInMarket(clock);
  const events = standInEvents();
  let isRevoked: (viewer: Principal) => boolean = () => false;
  const registry = new OpenRegistry({ clock, limits, isRevoked: (viewer) => isRevoked(viewer) });
  const wants: WantRequest[] = [];
  const hub = createPriceHub({
    epoch: 'test',
    clock,
    log,
    freshMs: 3_600_000,
    renewAfterMs: 1_800_000,
    quotes: market.quotes,
    ticks: market.ticks,
    want: (wanted) => Promise.resolve(void wants.push(wanted)),
  });
  const realtime = createRealtime(
    { config: loadConfig({}), clock, log, shutdown: createShutdown(log) },
    {
      ...standInAccess().streamAccess,
      registry,
      isRevoked: (viewer) => isRevoked(viewer),
    },
  );
  const clientJobs = new ManyJobs();
  const jobStreams = createJobStreams({
    realtime,
    reader: events.reader,
    clock,
    log,
    findEnded: () => Promise.resolve([]),
    async findJob(viewer, id) {
      allowed(viewer, { access: 'user', scope: seeJobs });
      return await jobFollowedBy(viewer, clientJobs, id);
    },
  });
  const priceStreams = createPriceStreams({ assets, realtime, hub, clock });
  const portfolioStreams = createPortfolioStreams({ realtime, prices: priceStreams, clock, log });
  const streams = { realtime, jobStreams, priceStreams, portfolioStreams };
  const api = await startApi({ ...different, ...streams, clientJobs, clock });
  const sockets = new Set<Socket>();
  api.server.on('connection', (socket: Socket) => sockets.add(socket));
  return {
    ...api,
    hub,
    registry,
    wants,
    listening: events.listening,
    happen: events.happen,
    tick: market.tick,
    unknown: market.unknown,
    poll(times = 1) {
      for (let time = 0; time < times; time += 1)
        for (const stream of [...registry.streams]) stream.poll(clock.now());
    },
    connections: sockets,
    unsentBytes: () => Math.max(0, ...[...sockets].map(({ writableLength }) => writableLength)),
    skip: (ms) => void (skipped += ms),
    revoke: () => {
      isRevoked = () => true;
      registry.endRevoked();
    },
    holdJobs() {
      let letGo = (): void => undefined;
      clientJobs.open = new Promise((resolve) => (letGo = resolve));
      return letGo;
    },
    close: async () => {
      registry.drain();
      jobStreams.close();
      await api.close(100);
      hub.close();
    },
  };
}

function standInMarket(clock: { now(): number }) {
  const quotes = new Map<string, CachedQuote>();
  const failures = new Map<string, QuoteFailure>();
  const listeners = new Set<TickListener>();
  const tell = (
    currency: string,
    reported: readonly CachedQuote[],
    failed: readonly QuoteFailure[],
  ): void => {
    for (const listener of listeners) listener.onTick?.({ currency, quotes: reported, failures: failed });
  };
  return {
    quotes: {
      get: (currency: string, id: string) => quotes.get(`${currency}:${id}`),
      failure: (currency: string, id: string) => failures.get(`${currency}:${id}`),
      load: () => Promise.resolve(),
    },
    ticks: {
      listen: (listener: TickListener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    tick: (prices: Readonly<Record<string, number>>, currency = 'usd') => {
      const reported = Object.entries(prices).map(([id, price]) =>
        quoteOf(id, price, { currency, now: clock.now() }),
      );
      for (const quote of reported) quotes.set(`${currency}:${quote.assetId}`, quote);
      tell(currency, reported, []);
    },
    unknown: (assetId: string) => {
      const failure: QuoteFailure = { assetId, state: 'not_found', reason: 'unknown', until: Infinity };
      failures.set(`usd:${assetId}`, failure);
      tell('usd', [], [failure]);
    },
  };
}

function quoteOf(
  assetId: string,
  price: number,
  { currency, now }: { currency: string; now: number },
): CachedQuote {
  return toCachedQuote({
    assetId,
    currency,
    symbol: assetId,
    name: assetId,
    price,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    source: 'test',
    asOf: new Date(now).toISOString(),
    receivedAt: now,
  });
}

function standInEvents() {
  const listeners = new Set<(entry: JobEventEntry) => void>();
  return {
    listening: () => listeners.size,
    happen: (entry: JobEventEntry) => [...listeners].forEach((listener) => listener(entry)),
    reader: {
      subscribe(_subjects: readonly string[], onEntry: (entry: JobEventEntry) => void) {
        listeners.add(onEntry);
        return { ready: Promise.resolve(), close: () => void listeners.delete(onEntry) };
      },
      history: () => Promise.resolve([]),
      oldestId: () => Promise.resolve(undefined),
      epoch: () => Promise.resolve('test'),
      close: () => Promise.resolve(),
    },
  };
}
