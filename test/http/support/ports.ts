/** Stand-ins for what lies behind the HTTP side: they remember what reached them and answer as they are told. */
import { createApiModules } from '../../../src/api-modules.ts';
import { listen, type Listening } from '../../../src/platform/http/listen.ts';
import { createAdmit } from '../../../src/platform/http/admission.ts';
import type { Route } from '../../../src/platform/http/route.ts';
import { serveModules } from '../../../src/platform/http/serve-modules.ts';
import { createShutdown } from '../../../src/platform/observability/shutdown.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';
import type { AccountService } from '../../../src/features/accounts/account-service.ts';
import { createRealtime, type Realtime } from '../../../src/platform/realtime/realtime.ts';
import { createUpgrade } from '../../../src/platform/realtime/upgrade.ts';
import { directoryOver } from '../../../src/features/assets/asset-directory.ts';
import { createAssetIndex } from '../../../src/features/assets/asset-index.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import type { JobRecord } from '../../../src/domain/job.ts';
import type { PassthroughReading } from '../../../src/features/coingecko-api/passthrough-reader.ts';
import type { MarketRow } from '../../../src/domain/market-row.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { Ranking } from '../../../src/features/quotes/ticks.ts';
import type { QuoteReading } from '../../../src/domain/cached-quote.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';
import { createHealth } from '../../../src/platform/observability/health.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createMetrics } from '../../../src/platform/observability/metrics-registry.ts';
import type { ClientJobs, SubmitRequest } from '../../../src/features/jobs/job-service.ts';
import type { SseRequest } from '../../../src/platform/realtime/sse-stream.ts';
import { fakeAlerts } from './fake-alerts.ts';
import { FakeHistory } from './fake-history.ts';
import { fakeTargets, fakeWebhooks } from './fake-webhooks.ts';
import { fakePortfolios } from './fake-portfolios.ts';
import { fakeValuations } from './fake-valuations.ts';
import { standInAccess } from './stand-in-access.ts';

const ownerId = '01934c2a-0000-7000-8000-000000000001';
export const jobId = '01934c2a-0000-7000-8000-0000000000aa';

/** A queued job, with whatever is different about it. */
export function jobRecord(different: Partial<JobRecord> = {}): JobRecord {
  return {
    id: jobId,
    userId: ownerId,
    name: 'bulk.fetch',
    state: 'queued',
    done: 0,
    total: 2,
    version: 1,
    workKey: 'key',
    currency: 'usd',
    createdAt: new Date('2026-01-01T00:00:00Z'),
    startedAt: null,
    finishedAt: null,
    error: null,
    resultJson: null,
    ...different,
  };
}

/** A desk with one job on it. */
export class FakeClientJobs implements ClientJobs {
  readonly submitted: SubmitRequest[] = [];
  readonly waits: number[] = [];
  job = jobRecord();
  /** What a wait finds in the end. */
  ended: JobRecord | undefined;
  eta: number | null = 7;

  submit(request: SubmitRequest): Promise<JobRecord> {
    this.submitted.push(request);
    return Promise.resolve(this.job);
  }

  /** The user's own job of the same work, if a test puts one. */
  same: JobRecord | undefined;

  sameWork(): Promise<JobRecord | undefined> {
    return Promise.resolve(this.same);
  }

  get(id: string, viewer: { userId: string; role: string }): Promise<JobRecord> {
    const visible = id === this.job.id && (viewer.role === 'admin' || viewer.userId === this.job.userId);
    return visible ? Promise.resolve(this.job) : Promise.reject(new NotFoundError('Job not found'));
  }

  list({ names }: Parameters<ClientJobs['list']>[0]): Promise<{ jobs: JobRecord[]; total: number }> {
    const isListed = names?.some((name) => name === this.job.name) ?? true;
    return Promise.resolve({ jobs: isListed ? [this.job] : [], total: 41 });
  }

  cancel(): Promise<JobRecord> {
    return Promise.resolve({ ...this.job, state: 'cancelled' });
  }

  waitForEnd(job: JobRecord, waitMs: number): Promise<JobRecord> {
    this.waits.push(waitMs);
    return Promise.resolve(this.ended ?? job);
  }

  etaSeconds(): Promise<number | null> {
    return Promise.resolve(this.eta);
  }
}

/** Readings by asset id; anything else is not found. */
export class FakeQuotes {
  readonly readings = new Map<string, QuoteReading>();
  readonly fresh = new Map<string, string>();
  readonly reads: string[] = [];
  readonly cleared: (readonly string[] | undefined)[] = [];

  peekFreshJson(assetId: string, currency: string): string | undefined {
    return this.fresh.get(`${assetId}/${currency}`);
  }

  get({ assetId, currency }: Parameters<QuoteService['get']>[0]): Promise<QuoteReading> {
    this.reads.push(`${assetId}/${currency}`);
    return Promise.resolve(this.readings.get(assetId) ?? { assetId, state: 'not_found', quote: undefined });
  }

  popular() {
    return Promise.resolve({ state: 'pending', readings: [...this.readings.values()] } as const);
  }

  clear(assetIds?: readonly string[]): Promise<number> {
    this.cleared.push(assetIds);
    return Promise.resolve(3);
  }

  deviations() {
    return Promise.resolve({});
  }

  stats() {
    return {
      entries: 1,
      by_state: { fresh: 1, stale: 0, not_found: 0 },
      hits: 5,
      misses: 1,
      age_seconds: { p50: 1, p99: 2, max: 3 },
      memory_bytes: 1000,
    };
  }
}

/** Quotes, rows and rankings as a test puts them; any other asset is not found. */
export class FakeMarket {
  readonly freshMs = 60_000;
  /** By `<currency>:<asset>`. */
  readonly readings = new Map<string, QuoteReading>();
  readonly rowsByKey = new Map<string, MarketRow>();
  /** By `<currency>:<page>`. */
  readonly rankings = new Map<string, Ranking>();
  readonly requested: Parameters<QuoteService['getMany']>[0][] = [];
  versionNow = 0;
  /** Reads of held answers, by asset. */
  readonly reads: Record<string, number> = {};

  peekFresh(currency: string, assetId: string) {
    const reading = this.readings.get(`${currency}:${assetId}`);
    return reading?.state === 'fresh' ? reading.quote : undefined;
  }

  version(): number {
    return this.versionNow;
  }

  noteReads({ quotes, times }: Parameters<QuoteService['noteReads']>[0]): void {
    for (const { assetId } of quotes) this.reads[assetId] = (this.reads[assetId] ?? 0) + times;
  }

  getMany(requested: Parameters<QuoteService['getMany']>[0]): Promise<ReadonlyMap<string, QuoteReading>> {
    this.requested.push(requested);
    const absent = { state: 'not_found', quote: undefined } as const;
    const found = requested.assetIds.map((assetId): [string, QuoteReading] => [
      assetId,
      this.readings.get(`${requested.currency}:${assetId}`) ?? { assetId, ...absent },
    ]);
    return Promise.resolve(new Map(found));
  }

  rows(currency: string, assetIds: readonly string[]): Promise<ReadonlyMap<string, MarketRow>> {
    const found = assetIds.flatMap((id): [string, MarketRow][] => {
      const row = this.rowsByKey.get(`${currency}:${id}`);
      return row === undefined ? [] : [[id, row]];
    });
    return Promise.resolve(new Map(found));
  }

  ranking({ currency, page }: { currency: string; page: number }): Promise<Ranking | undefined> {
    return Promise.resolve(this.rankings.get(`${currency}:${page}`));
  }
}

/** Documents by their canonical path; any other is not found. */
export class FakeDocuments {
  readonly readings = new Map<string, PassthroughReading>();
  readonly paths: string[] = [];

  forget(): void {
    // There is nothing to forget.
  }

  read({ path }: { path: string }): Promise<PassthroughReading> {
    this.paths.push(path);
    return Promise.resolve(this.readings.get(path) ?? { state: 'not_found' });
  }
}

/** Streams that greet and end. */
export class FakeStreams {
  /** The last event ids of those that were opened. */
  readonly opened: (string | undefined)[] = [];

  open({ response, headers = [], lastEventId }: SseRequest): void {
    this.opened.push(lastEventId);
    const head = ['Content-Type', 'text/event-stream', ...headers];
    response.writeHead(200, head).end('event: hello\ndata: {}\n\n');
  }
}

export interface TestApi extends Listening {
  readonly base: string;
  readonly clientJobs: FakeClientJobs;
  readonly quotes: FakeQuotes;
  readonly market: FakeMarket;
  readonly documents: FakeDocuments;
  /** What stands in for the streams, unless a test brings its own. */
  readonly streams: FakeStreams;
  readonly token: string;
  readonly adminToken: string;
  readonly deps: StandIns;
  /** Every route that it serves. */
  readonly routes: readonly Route[];
  /** Sends a request with the user's token, unless the headers say otherwise. */
  call(
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string> },
  ): Promise<Response>;
}

type Needs = Parameters<typeof createApiModules>;
type Services = Needs[1];

/**
 * What the modules stand on here, flat, so that a test can bring its own of each: members of the services of accounts and of
 * portfolios; the readers of single quotes and of many; and what remembers how it was asked.
 */
export interface StandIns
  extends
    Omit<Services['access'], 'streamAccess'>,
    Omit<Services['portfolios'], 'streams'>,
    Pick<Services, 'assets' | 'metrics' | 'documents' | 'history' | 'health'> {
  readonly config: Needs[0]['config'];
  readonly clock: Needs[0]['clock'];
  readonly log: Needs[0]['log'];
  readonly realtime: Realtime;
  readonly clientJobs: ClientJobs;
  readonly jobStreams: Services['jobs']['streams'];
  readonly priceStreams: Services['prices'];
  readonly portfolioStreams: Services['portfolios']['streams'];
  readonly quotes: Pick<FakeQuotes, Exclude<keyof FakeQuotes, 'readings' | 'fresh' | 'reads' | 'cleared'>>;
  readonly market: Pick<
    QuoteService,
    'freshMs' | 'version' | 'peekFresh' | 'getMany' | 'ranking' | 'rows' | 'noteReads'
  >;
  readonly webhooks: Omit<Services['webhooks'], 'targets' | 'deliveries'>;
  readonly webhookTargets: Services['webhooks']['targets'];
  readonly alerts: Omit<Services['alerts'], 'streams'>;
  readonly alertStreams: Services['alerts']['streams'];
  readonly budgetStatus: Services['upstream']['budgetState'];
  readonly callsAhead: Services['upstream']['callsAhead'];
  readonly sources: Services['upstream']['sources'];
}

/** The services of the stand-ins. */
function servicesOf({ quotes, market, ...deps }: StandIns, access: AccountService): Services {
  const nothing = (): Promise<Readonly<Record<string, number>>> => Promise.resolve({});
  return {
    ...deps,
    access: { ...access, ...deps },
    jobs: { clientJobs: deps.clientJobs, streams: deps.jobStreams, countByState: nothing },
    prices: deps.priceStreams,
    // Called through the objects, so that a test may put other methods into them later.
    quotes: {
      peekFreshJson: (...requested) => quotes.peekFreshJson(...requested),
      get: (...requested) => quotes.get(...requested),
      popular: () => quotes.popular(),
      clear: (...requested) => quotes.clear(...requested),
      stats: () => quotes.stats(),
      deviations: () => quotes.deviations(),
      freshMs: market.freshMs,
      version: () => market.version(),
      peekFresh: (...requested) => market.peekFresh(...requested),
      getMany: (...requested) => market.getMany(...requested),
      ranking: (...requested) => market.ranking(...requested),
      rows: (...requested) => market.rows(...requested),
      noteReads: (...requested) => market.noteReads(...requested),
    },
    upstream: {
      budgetState: deps.budgetStatus,
      callsAhead: deps.callsAhead,
      sources: deps.sources,
      calls: nothing,
      failures: nothing,
    },
    portfolios: { ...deps, streams: deps.portfolioStreams },
    // The objects themselves, for the same reason.
    webhooks: Object.assign(deps.webhooks, {
      targets: deps.webhookTargets,
      deliveries: { countByState: () => Promise.resolve({ pending: 0, dead: 0 }) },
    }),
    alerts: Object.assign(deps.alerts, { streams: deps.alertStreams }),
  };
}

const noAssets = createAssetIndex([]);

/** The real application on stand-ins, listening on loopback. */
export async function startApi(different: Partial<StandIns> = {}): Promise<TestApi> {
  const access = standInAccess();
  const clientJobs = new FakeClientJobs();
  const quotes = new FakeQuotes();
  const market = new FakeMarket();
  const documents = new FakeDocuments();
  const streams = new FakeStreams();
  const log = silentLogger();
  const config = loadConfig({ APP_ENV: 'test', CORS_ORIGINS: 'https://app.example', READ_WAIT: '50ms' });
  const deps: StandIns = {
    config,
    clock: systemClock,
    log,
    metrics: createMetrics(),
    ...access,
    realtime: createRealtime(
      { config, clock: systemClock, log, shutdown: createShutdown(log) },
      access.streamAccess,
    ),
    clientJobs: clientJobs,
    jobStreams: streams,
    priceStreams: {
      open(requested) {
        streams.open(requested);
        return Promise.resolve();
      },
    },
    portfolioStreams: streams,
    quotes,
    market,
    documents,
    history: new FakeHistory(),
    ...fakePortfolios,
    ...fakeValuations,
    alerts: fakeAlerts().operations,
    alertStreams: {
      open: (_userId, hijack) => {
        streams.open(hijack());
        return Promise.resolve();
      },
    },
    webhooks: fakeWebhooks(),
    webhookTargets: fakeTargets,
    assets: directoryOver(() => noAssets),
    health: createHealth({ checks: [], clock: systemClock, log }),
    budgetStatus: () =>
      Promise.resolve({
        ready: true,
        spacingMs: 2_000,
        limit: 30,
        fullLimit: 30,
        used: 30,
        available: 0,
        nextGrantInMs: 4_200,
        grantsInMs: [4_200, 6_200, 8_200],
        blockedForMs: 0,
        spare: { perMinute: 15, now: 0 },
        freshnessSeconds: null,
        month: null,
      }),
    callsAhead: () => Promise.resolve(1),
    sources: () => Promise.resolve([]),
    ...different,
  };
  const { tokens } = deps;
  const { clock, log: given } = deps;
  const platform: Platform = {
    // Nothing is asked behind the stand-ins.
    ...({} as Platform),
    ...{ config: deps.config, clock, log: given, keys: createRedisKeys('test') },
  };
  const serving = { ...deps, admit: createAdmit(deps) };
  const app = serveModules(createApiModules(platform, servicesOf(deps, access)), serving);
  const place = { host: '127.0.0.1', port: 0, onUpgrade: createUpgrade(serving) };
  const listening = await listen(app, place);
  const base = `http://127.0.0.1:${listening.port}`;
  const person = { userId: ownerId, generation: 0, sessionId: ownerId };
  const token = tokens.issue({ ...person, role: 'user' });
  const adminToken = tokens.issue({ ...person, role: 'admin' });
  return {
    ...listening,
    base,
    clientJobs,
    quotes,
    market,
    documents,
    streams,
    token,
    adminToken,
    deps,
    routes: app.routes,
    call: (method, path, { body, headers = {} } = {}) =>
      fetch(base + path, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
  };
}
