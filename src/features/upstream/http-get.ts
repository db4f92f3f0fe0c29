/**
 * One HTTP GET, with everything bounded: connect, headers, body, total time and size. It never retries, and it makes
 * sure that undici does not either: a grant of the budget pays for one request on the wire.
 */
import { Agent, type Dispatcher } from 'undici';
import { toError } from '../../platform/concurrency/sleep.ts';
import { isTooLate, signalWithDeadline } from './call-signal.ts';
import {
  ProviderConnectionError,
  type ProviderError,
  ProviderResponseError,
  ProviderTimeoutError,
} from './provider-errors.ts';

/** What is the same for all calls to one provider. */
export interface HttpGetOptions {
  readonly provider: string;
  /** Total time of a call, from the first byte of the connect to the last one of the body. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** A complete answer, whatever its status. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** A small pool of connections to one provider. */
export interface HttpGet {
  /**
   * @throws {ProviderError} when there is no complete answer, and the signal's reason when the caller aborts.
   */
  get(url: string, signal: AbortSignal): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/** Opens an {@link HttpGet}: the real one, one that records, or one that plays back. */
export type OpenHttp = (options: HttpGetOptions) => HttpGet;

const connectTimeoutMs = 3_000;

/** Builds an {@link HttpGet}. */
export function createHttpGet({ provider, timeoutMs, maxBodyBytes, headers }: HttpGetOptions): HttpGet {
  const agent = new Agent({
    connections: 5,
    pipelining: 1,
    connectTimeout: Math.min(connectTimeoutMs, timeoutMs),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maxBodyBytes,
  });
  const late = (): ProviderTimeoutError =>
    new ProviderTimeoutError(`${provider} did not answer within ${timeoutMs} ms`, { provider });

  async function get(url: string, parent: AbortSignal): Promise<HttpAnswer> {
    parent.throwIfAborted();
    const { signal, dispose } = signalWithDeadline({ parent, ms: timeoutMs, reason: late });
    try {
      const dispatcher = agent.compose(writeOnceInTime(signal, late));
      const response = await dispatcher.request({ ...target(url), method: 'GET', headers, signal });
      return { status: response.statusCode, headers: response.headers, text: await response.body.text() };
    } catch (error) {
      if (parent.aborted) throw toError(parent.reason);
      if (error instanceof ProviderTimeoutError) throw error;
      if (signal.aborted) throw late();
      throw wireError(error, provider);
    } finally {
      dispose();
    }
  }

  return { get, close: () => agent.destroy() };
}

function target(url: string): { origin: string; path: string } {
  const { origin } = new URL(url);
  // The path is kept as it was written: URL would leave it alone too, but nothing promises that.
  return { origin, path: url.slice(url.indexOf('/', url.indexOf('//') + 2)) };
}

/**
 * Looks at the clock in the moment in which the request is about to be written, and refuses a second write of the same
 * request (undici may queue it again when a kept-alive connection turns out to be closed).
 */
function writeOnceInTime(signal: AbortSignal, late: () => Error): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    let written = false;
    const guarded: Dispatcher.DispatchHandler = {
      onRequestStart(controller, context) {
        if (isTooLate(signal)) controller.abort(late());
        else if (written) controller.abort(new Error('the connection was closed before the answer'));
        else handler.onRequestStart?.(controller, context);
        written = true;
      },
      onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (...args) => handler.onResponseData?.(...args),
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    };
    return dispatch(options, guarded);
  };
}

function wireError(error: unknown, provider: string): ProviderError {
  const code = codeOf(error);
  const options = { provider, cause: error };
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return new ProviderResponseError(`${provider} sent more than is allowed`, options);
  }
  if (/^UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT$|^ETIMEDOUT$/.test(code)) {
    return new ProviderTimeoutError(`${provider} did not answer in time (${code})`, options);
  }
  return new ProviderConnectionError(
    `No connection to ${provider} (${code === '' ? 'unknown' : code})`,
    options,
  );
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : codeOf(error.cause);
}
