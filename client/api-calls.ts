/**
 * Requests of one client, with its credential. An expired access token is exchanged for a new one, once, and the request is
 * repeated; if several requests find it expired at the same time, one does the exchange: a refresh token has one successor, and
 * using it after its successor was used would end the session.
 */
import { errorOfResponse, PricepoolError } from './pricepool-error.ts';
import type { Login } from './types.ts';

/** Where the API is, and which credential to use. */
export interface ClientOptions {
  /** Root of the API without path, such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** Access token; logging in sets it too. */
  readonly token?: string;
  /** Of an earlier login; logging in sets it too. Void once it was used: {@link ClientOptions.onTokens} tells its successor. */
  readonly refreshToken?: string;
  /** Instead of logging in. */
  readonly apiKey?: string;
  /** Called with the new tokens after each login and each refresh, so that the caller can store them. */
  readonly onTokens?: (tokens: Login) => void;
  /** Longest time (ms) of one request; default 15 s. Streams are not bound by it. */
  readonly timeoutMs?: number;
  /** Instead of the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

/** One request. */
export interface Call {
  readonly method: string;
  /** Below `/api/v1`. */
  readonly path: string;
  readonly body?: object | undefined;
  readonly headers?: Record<string, string>;
  /** Instead of the timeout. */
  readonly signal?: AbortSignal;
}

const defaultTimeoutMs = 15_000;
const api = '/api/v1';

/** See the head of the file. */
export class ApiCalls {
  readonly #options: ClientOptions;
  readonly #root: string;
  readonly #timeoutMs: number;
  readonly #fetch: typeof globalThis.fetch;
  #token: string | undefined;
  #refreshToken: string | undefined;
  #refreshing: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    const { baseUrl, token, refreshToken, timeoutMs = defaultTimeoutMs, fetch } = options;
    this.#options = options;
    this.#root = baseUrl.replace(/\/+$/, '');
    this.#timeoutMs = timeoutMs;
    this.#token = token;
    this.#refreshToken = refreshToken;
    // Browsers refuse to run `fetch` as a method of anything but the window.
    this.#fetch = fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** The access token in use; undefined before a login. */
  get token(): string | undefined {
    return this.#token;
  }

  /** Uses these tokens from here on. */
  use(tokens: Login): void {
    this.#token = tokens.token;
    this.#refreshToken = tokens.refresh_token;
    this.#options.onTokens?.(tokens);
  }

  /** Forgets the tokens. */
  forget(): void {
    this.#token = undefined;
    this.#refreshToken = undefined;
  }

  /** The `data` of an answer. @throws {PricepoolError} */
  async json<T>(call: Call): Promise<T> {
    return await this.#dataOf<T>(await this.send(call));
  }

  /** Like {@link ApiCalls.json}, without a credential: for calls that get one. */
  async openJson<T>(call: Call): Promise<T> {
    return await this.#dataOf<T>(await this.#once(call, {}));
  }

  /** The answer, whatever its status. @throws {PricepoolError} when there is none. */
  async send(call: Call): Promise<Response> {
    const used = this.#token;
    const response = await this.#once(call, this.#credential());
    if (response.status !== 401 || used === undefined || this.#refreshToken === undefined) return response;
    await response.body?.cancel();
    // Another request may have got a new one meanwhile.
    if (this.#token === used) await this.refresh();
    return await this.#once(call, this.#credential());
  }

  /** Gets new tokens. @throws {PricepoolError} with status 401 when the session is over. */
  async refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined));
    await this.#refreshing;
  }

  /** Whether the API can serve. */
  async isReady(): Promise<boolean> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const response = await this.#orUnreachable(this.#fetch(`${this.#root}/health/ready`, { signal }));
    await response.body?.cancel();
    return response.ok;
  }

  async #refresh(): Promise<void> {
    const body = { refresh_token: this.#refreshToken };
    try {
      this.use(await this.openJson<Login>({ method: 'POST', path: '/auth/refresh', body }));
    } catch (error) {
      // It will never be good again, and using it once more would look like theft.
      if (error instanceof PricepoolError && error.status === 401) this.#refreshToken = undefined;
      throw error;
    }
  }

  #credential(): Record<string, string> {
    if (this.#token !== undefined) return { authorization: `Bearer ${this.#token}` };
    const { apiKey } = this.#options;
    return apiKey === undefined ? {} : { 'x-api-key': apiKey };
  }

  async #once(
    { method, path, body, headers = {}, signal }: Call,
    credential: Record<string, string>,
  ): Promise<Response> {
    return await this.#orUnreachable(
      this.#fetch(`${this.#root}${api}${path}`, {
        method,
        headers: {
          ...headers,
          ...credential,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: signal ?? AbortSignal.timeout(this.#timeoutMs),
      }),
    );
  }

  async #dataOf<T>(response: Response): Promise<T> {
    if (!response.ok) throw await errorOfResponse(response);
    return await this.#orUnreachable(response.json().then((body) => (body as { data: T }).data));
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
