import { EventSourceParserStream } from 'eventsource-parser/stream';

/** Answer of the API, with its envelope read. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The whole envelope; undefined for an empty body. */
  readonly body: Envelope | undefined;
}

export interface Envelope {
  readonly success: boolean;
  readonly message: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into answers of every shape
  readonly data?: any;
  readonly error?: { code: string; detail?: string; fields?: { field: string; message: string }[] };
  readonly request_id?: string;
}

export interface StreamEvent {
  readonly id: string | undefined;
  readonly event: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into events of every shape
  readonly data: any;
}

interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly timeoutMs?: number;
}

/** A user of the API as tests and benches need one. */
export interface ApiClient {
  readonly token: string;
  call(method: string, path: string, options?: CallOptions): Promise<ApiAnswer>;
  /** Polls a job until it has ended. @throws when that takes longer than `timeoutMs`. */
  jobEnd(id: string, timeoutMs?: number): Promise<NonNullable<Envelope['data']>>;
  /** Events of a stream until it ends or `signal` aborts. */
  events(path: string, options?: { lastEventId?: string; signal?: AbortSignal }): AsyncGenerator<StreamEvent>;
}

const api = '/api/v1';

/** Makes a client of an API process. `token` may come from another one: processes share the secret. */
export function apiClient(baseUrl: string, token = ''): ApiClient {
  const call: ApiClient['call'] = async (method, path, { body, headers = {}, timeoutMs = 60_000 } = {}) => {
    const response = await fetch(`${baseUrl}${path.startsWith('/health') ? '' : api}${path}`, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : (JSON.parse(text) as Envelope),
    };
  };

  return {
    token,
    call,
    async jobEnd(id, timeoutMs = 60_000) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const { body } = await call('GET', `/jobs/${id}`);
        if (['completed', 'failed', 'cancelled'].includes(body?.data.state)) return body?.data;
        if (Date.now() > deadline)
          throw new Error(`job ${id} is still ${body?.data.state} after ${timeoutMs} ms`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async *events(path, { lastEventId, signal } = {}) {
      const response = await fetch(`${baseUrl}${api}${path}`, {
        headers: {
          authorization: `Bearer ${token}`,
          ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
        },
        signal: signal ?? null,
      });
      if (response.status !== 200 || response.body === null)
        throw new Error(`stream answered ${response.status}`);
      const messages = response.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream());
      for await (const { id, event, data } of messages) {
        yield { id, event: event ?? 'message', data: JSON.parse(data) };
      }
    },
  };
}

let users = 0;

/** Registers a new user and logs in. */
export async function newUser(baseUrl: string): Promise<ApiClient> {
  const name = `user-${process.pid}-${Date.now().toString(36)}-${++users}`;
  const anonymous = apiClient(baseUrl);
  const account = { username: name, email: `${name}@example.com`, password: 'correct horse 1' };
  const registered = await anonymous.call('POST', '/auth/register', { body: account });
  if (registered.status !== 201) throw new Error(`register answered ${registered.status}`);
  const { email, password } = account;
  const { body } = await anonymous.call('POST', '/auth/login', { body: { email, password } });
  return apiClient(baseUrl, body?.data.token as string);
}
