/**
 * A client of the API for Node 20 and browsers: accounts, quotes, jobs and their events. Stands alone: it imports nothing of
 * the rest of the project and needs nothing but `fetch`.
 */
import { errorOfResponse, PricepoolError } from './pricepool-error.ts';
import { resumableStream, type StreamRequest } from './resumable-stream.ts';
import type {
  Account,
  BulkResult,
  Holding,
  Job,
  JobEvent,
  JobEventData,
  JobEventType,
  Login,
  PortfolioResult,
  Quote,
} from './types.ts';

export interface ClientOptions {
  /** Root of the API without path, such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** Access token; {@link PricepoolClient.login} sets it too. */
  readonly token?: string;
  /** Longest time (ms) of one request; default 15 s. Streams are not bound by it. */
  readonly timeoutMs?: number;
  /** Instead of the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

export interface SubmitOptions {
  /** The same key and body give the same job, so that a submission can be repeated after a lost answer. */
  readonly idempotencyKey?: string;
}

export type FollowOptions = Pick<StreamRequest, 'lastEventId' | 'signal' | 'silenceMs' | 'maxFailures'>;

/** Every method rejects with {@link PricepoolError} when the API refuses or cannot be reached. */
export interface PricepoolClient {
  /** Whether the API can serve. Resolves to false while it starts; rejects when nobody answers. */
  isReady(): Promise<boolean>;
  register(account: { username: string; email: string; password: string }): Promise<Account>;
  /** Logs in and uses the token from here on. */
  login(credentials: { email: string; password: string }): Promise<Login>;
  quote(coin: string, currency?: string): Promise<Quote>;
  popular(limit?: number, currency?: string): Promise<readonly Quote[]>;
  submitBulk(
    request: { coins: readonly string[]; currency?: string },
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
}

const defaultTimeoutMs = 15_000;
const api = '/api/v1';

/** Makes a client. */
export function createPricepoolClient(options: ClientOptions): PricepoolClient {
  const calls = new Calls(options);
  const submit = <R>(path: string, body: object, { idempotencyKey }: SubmitOptions = {}): Promise<Job<R>> =>
    calls.json({
      method: 'POST',
      path,
      body,
      headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
    });
  return {
    isReady: () => calls.isReady(),
    register: (account) => calls.json({ method: 'POST', path: '/auth/register', body: account }),
    async login(credentials) {
      const login = await calls.json<Login>({ method: 'POST', path: '/auth/login', body: credentials });
      calls.token = login.token;
      return login;
    },
    quote: (coin, currency = 'usd') =>
      calls.json({ method: 'GET', path: `/crypto/${encodeURIComponent(coin)}?${query({ currency })}` }),
    popular: (limit = 50, currency = 'usd') =>
      calls.json({ method: 'GET', path: `/crypto/popular?${query({ limit: String(limit), currency })}` }),
    submitBulk: (request, how) => submit('/crypto/bulk', request, how),
    submitPortfolio: (request, how) => submit('/crypto/portfolio', request, how),
    job: (id) => calls.json({ method: 'GET', path: `/jobs/${encodeURIComponent(id)}` }),
    cancelJob: (id) => calls.json({ method: 'DELETE', path: `/jobs/${encodeURIComponent(id)}` }),
    jobEvents: (id, how) => followJob(calls, id, how),
  };
}

/** True for the events after which nothing follows. */
export function isLastJobEvent(event: JobEvent): boolean {
  return event.type === 'job.completed' || event.type === 'job.failed' || event.type === 'job.cancelled';
}

const knownTypes: Readonly<Record<JobEventType, true>> = {
  hello: true,
  reset: true,
  'job.progress': true,
  'job.coin': true,
  'job.completed': true,
  'job.failed': true,
  'job.cancelled': true,
  hb: true,
  drain: true,
  limit: true,
};

async function* followJob(calls: Calls, id: string, how: FollowOptions = {}): AsyncGenerator<JobEvent, void> {
  const path = `/jobs/${encodeURIComponent(id)}/events`;
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'GET', path, headers, signal });
  for await (const { event: type, data, id: eventId } of resumableStream({ ...how, connect })) {
    // A later version of the API may send more.
    if (!Object.hasOwn(knownTypes, type)) continue;
    const event = { type, id: eventId, data: JSON.parse(data) as JobEventData[JobEventType] } as JobEvent;
    yield event;
    if (isLastJobEvent(event)) return;
  }
}

interface Call {
  readonly method: string;
  /** Below `/api/v1`. */
  readonly path: string;
  readonly body?: object;
  readonly headers?: Record<string, string>;
  /** Instead of the timeout. */
  readonly signal?: AbortSignal;
}

/** Requests of one client, with its token. */
class Calls {
  token: string | undefined;
  readonly #root: string;
  readonly #timeoutMs: number;
  readonly #fetch: typeof globalThis.fetch;

  constructor({ baseUrl, token, timeoutMs = defaultTimeoutMs, fetch }: ClientOptions) {
    this.token = token;
    this.#root = baseUrl.replace(/\/+$/, '');
    this.#timeoutMs = timeoutMs;
    // Browsers refuse to run `fetch` as a method of anything but the window.
    this.#fetch = fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** The `data` of an answer. */
  async json<T>(call: Call): Promise<T> {
    const response = await this.send(call);
    if (!response.ok) throw await errorOfResponse(response);
    return await this.#orUnreachable(response.json().then((body) => (body as { data: T }).data));
  }

  async isReady(): Promise<boolean> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const response = await this.#orUnreachable(this.#fetch(`${this.#root}/health/ready`, { signal }));
    await response.body?.cancel();
    return response.ok;
  }

  async send({ method, path, body, headers = {}, signal }: Call): Promise<Response> {
    return await this.#orUnreachable(
      this.#fetch(`${this.#root}${api}${path}`, {
        method,
        headers: {
          ...headers,
          ...(this.token === undefined ? {} : { authorization: `Bearer ${this.token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: signal ?? AbortSignal.timeout(this.#timeoutMs),
      }),
    );
  }

  async #orUnreachable<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw new PricepoolError(`${this.#root} cannot be reached: ${reasonOf(error)}`, {
        status: 0,
        code: 'unreachable',
        cause: error,
      });
    }
  }
}

/** Node says "fetch failed" and gives the reason as the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}

function query(parameters: Record<string, string>): string {
  return new URLSearchParams(parameters).toString();
}
