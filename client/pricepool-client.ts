/**
 * A client of the API for Node 20 and browsers: accounts, quotes, jobs, and live streams of prices, portfolios and jobs.
 * Self-contained: it imports nothing from the rest of the project and needs only `fetch`.
 */
import { ApiCalls, type ClientOptions } from './api-calls.ts';
import type {
  Account,
  BulkResult,
  Holding,
  Job,
  JobEvent,
  Login,
  PortfolioEvent,
  PortfolioResult,
  PriceEvent,
  Quote,
  StreamTicket,
  JobEventData,
  PortfolioEventData,
  PriceEventData,
  UnpricedQuote,
} from './types.ts';
import { resumableStream, type StreamRequest } from './resumable-stream.ts';

export interface SubmitOptions {
  /** The same key and body give the same job, so that a submission can be repeated after a lost answer. */
  readonly idempotencyKey?: string;
}

/** Every method rejects with `PricepoolError` when the API refuses or cannot be reached. */
export interface PricepoolClient {
  /** Whether the API can serve. Resolves to false while it starts; rejects when nobody answers. */
  isReady(): Promise<boolean>;
  register(account: { username: string; email: string; password: string }): Promise<Account>;
  /** Logs in and uses the tokens from here on. */
  login(credentials: { email: string; password: string }): Promise<Login>;
  /** Gets new tokens now; calls do so by themselves when they find the access token expired. */
  refresh(): Promise<void>;
  /** Ends the session and forgets its tokens. */
  logout(): Promise<void>;
  /** A ticket for streams of clients that cannot send headers; it is short-lived. */
  streamTicket(): Promise<StreamTicket>;
  /** The price is null where the price source lists the coin without one. */
  quote(coin: string, currency?: string): Promise<Quote | UnpricedQuote>;
  popular(limit?: number, currency?: string): Promise<readonly Quote[]>;
  submitBulk(
    request: { coins?: readonly string[]; symbols?: readonly string[]; currency?: string },
    options?: SubmitOptions,
  ): Promise<Job<BulkResult>>;
  submitPortfolio(
    request: { holdings: readonly Holding[]; currency?: string },
    options?: SubmitOptions,
  ): Promise<Job<PortfolioResult>>;
  job<R = unknown>(id: string): Promise<Job<R>>;
  cancelJob(id: string): Promise<Job>;
  /**
   * Events of a job until it has ended, over as many connections as that takes; after a lost connection it goes on with the
   * event after the last one received.
   */
  jobEvents(id: string, options?: FollowOptions): AsyncGenerator<JobEvent, void>;
  /**
   * Prices as they change, reconnecting as needed, until `maxUpdates` have come, the server ends the stream (the last event is
   * then `end` with `reconnect: false`), or the consumer stops. After a lost connection it continues with the newest prices.
   */
  streamPrices(watch: PriceWatch): AsyncGenerator<PriceEvent, void>;
  /** Like {@link PricepoolClient.streamPrices}, with the value of holdings. */
  streamPortfolio(watch: PortfolioWatch): AsyncGenerator<PortfolioEvent, void>;
}

/** Creates a client. */
export function createPricepoolClient(options: ClientOptions): PricepoolClient {
  const calls = new ApiCalls(options);
  return {
    ...accountCalls(calls),
    ...dataCalls(calls),
    jobEvents: (id, how) => followJob(calls, id, how),
    streamPrices: (watch) => followPrices(calls, watch),
    streamPortfolio: (watch) => followPortfolio(calls, watch),
  };
}

function accountCalls(calls: ApiCalls) {
  return {
    isReady: () => calls.isReady(),
    register: (account) => calls.openJson({ method: 'POST', path: '/auth/register', body: account }),
    async login(credentials) {
      const login = await calls.openJson<Login>({ method: 'POST', path: '/auth/login', body: credentials });
      calls.use(login);
      return login;
    },
    refresh: () => calls.refresh(),
    async logout() {
      await calls.json({ method: 'POST', path: '/auth/logout' });
      calls.forget();
    },
    streamTicket: () => calls.json({ method: 'POST', path: '/auth/stream-ticket' }),
  } satisfies Partial<PricepoolClient>;
}

function dataCalls(calls: ApiCalls) {
  const submit = <R>(path: string, body: object, { idempotencyKey }: SubmitOptions = {}): Promise<Job<R>> =>
    calls.json({
      method: 'POST',
      path,
      body,
      headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
    });
  return {
    quote: (coin, currency = 'usd') =>
      calls.json({ method: 'GET', path: `/crypto/${encodeURIComponent(coin)}?${query({ currency })}` }),
    popular: (limit = 50, currency = 'usd') =>
      calls.json({ method: 'GET', path: `/crypto/popular?${query({ limit: String(limit), currency })}` }),
    submitBulk: (request, how) => submit('/crypto/bulk', request, how),
    submitPortfolio: (request, how) => submit('/crypto/portfolio', request, how),
    job: <R>(id: string) => calls.json<Job<R>>({ method: 'GET', path: `/jobs/${encodeURIComponent(id)}` }),
    cancelJob: (id) => calls.json({ method: 'DELETE', path: `/jobs/${encodeURIComponent(id)}` }),
  } satisfies Partial<PricepoolClient>;
}

function query(parameters: Record<string, string>): string {
  return new URLSearchParams(parameters).toString();
}

/** The streams of the API as typed events. */

/** How patient to be with connections, and where to begin. */
export type FollowOptions = Omit<StreamRequest, 'connect'>;

interface WatchOptions extends FollowOptions {
  readonly currency?: string;
  /** Least seconds between two updates; 1 when absent. */
  readonly interval?: number;
  /** Updates after which the stream ends; absent for any number. */
  readonly maxUpdates?: number;
}

export interface PriceWatch extends WatchOptions {
  readonly coins: readonly string[];
}

/** Either `coins`, or `holdings` with quantities; with `holdings` the events also have the total value. */
export type PortfolioWatch = WatchOptions &
  ({ readonly coins: readonly string[] } | { readonly holdings: readonly Holding[] });

const ofEveryStream = {
  hello: true,
  heartbeat: true,
  ticket: true,
  end: true,
  drain: true,
  limit: true,
} as const;

const jobTypes: Readonly<Record<keyof JobEventData, true>> = {
  ...ofEveryStream,
  reset: true,
  'job.progress': true,
  'job.coin': true,
  'job.completed': true,
  'job.failed': true,
  'job.cancelled': true,
};
const priceTypes: Readonly<Record<keyof PriceEventData, true>> = { ...ofEveryStream, price: true };
const portfolioTypes: Readonly<Record<keyof PortfolioEventData, true>> = {
  ...ofEveryStream,
  portfolio: true,
};

/** True for the events after which nothing follows. */
export function isLastJobEvent(event: JobEvent): boolean {
  return event.type === 'job.completed' || event.type === 'job.failed' || event.type === 'job.cancelled';
}

/** Events of a job until it has ended. */
async function* followJob(
  calls: ApiCalls,
  id: string,
  how: FollowOptions = {},
): AsyncGenerator<JobEvent, void> {
  const path = `/jobs/${encodeURIComponent(id)}/events`;
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'GET', path, headers, signal });
  for await (const event of typedEvents<JobEvent>(jobTypes, { ...how, connect })) {
    yield event;
    if (isLastJobEvent(event)) return;
  }
}

/** Prices as they change. */
function followPrices(
  calls: ApiCalls,
  { coins, currency = 'usd', interval = 1, maxUpdates, ...how }: PriceWatch,
): AsyncGenerator<PriceEvent, void> {
  const query = new URLSearchParams({ coins: coins.join(','), currency, interval: String(interval) });
  if (maxUpdates !== undefined) query.set('max_updates', String(maxUpdates));
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'GET', path: `/crypto/stream/prices?${query.toString()}`, headers, signal });
  return typedEvents<PriceEvent>(priceTypes, { ...forEver, ...how, connect });
}

/** Prices of what is held, and its value, as they change. */
function followPortfolio(
  calls: ApiCalls,
  { currency = 'usd', interval = 1, maxUpdates, ...watch }: PortfolioWatch,
): AsyncGenerator<PortfolioEvent, void> {
  const held = 'holdings' in watch ? { holdings: watch.holdings } : { coins: watch.coins };
  const body = {
    ...held,
    currency,
    interval,
    ...(maxUpdates === undefined ? {} : { max_updates: maxUpdates }),
  };
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'POST', path: '/crypto/stream/portfolio', body, headers, signal });
  return typedEvents<PortfolioEvent>(portfolioTypes, { ...forEver, ...watch, connect });
}

/** A job ends, but prices do not: a price stream keeps reconnecting, however long the API is away. */
const forEver = { maxFailures: Number.POSITIVE_INFINITY };

async function* typedEvents<E extends { readonly type: string }>(
  types: Readonly<Record<E['type'], true>>,
  request: StreamRequest,
): AsyncGenerator<E, void> {
  for await (const { event: type, data, id } of resumableStream(request)) {
    // A later version of the API may send more.
    if (!Object.hasOwn(types, type)) continue;
    // The API says what each event carries; see the types.
    yield { type, id, data: JSON.parse(data) as unknown } as unknown as E;
  }
}
