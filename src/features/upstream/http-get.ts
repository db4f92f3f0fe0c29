/**
 * One HTTP GET with limits on everything: connect, headers, body, total time and size. It never retries, and makes sure that
 * undici does not either: a grant of the budget pays for one request on the wire.
 */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { messageOf } from '../../domain/errors.ts';
import { toError } from '../../platform/concurrency/sleep.ts';
import { isTooLate, signalWithDeadline } from './call-signal.ts';
import {
  ProviderConnectionError,
  type ProviderError,
  ProviderResponseError,
  ProviderTimeoutError,
} from './provider-errors.ts';

/** Options shared by all calls to one provider. */
export interface HttpGetOptions {
  readonly provider: string;
  /** Total time of a call, from the start of the connect to the last byte of the body. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: all calls are direct. */
  readonly proxies?: Proxies | undefined;
}

/** Proxies by the scheme of the target URL. Loopback addresses never use one. */
export interface Proxies {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts that are called directly, as in `NO_PROXY`. */
  readonly except: string | undefined;
}

/** A complete answer, whatever its status; its text is decoded. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** A small pool of connections to one provider. */
export interface HttpGet {
  /**
   * @throws {ProviderError} when there is no complete answer, and the signal's reason when the caller aborts.
   */
  get(url: string, signal: AbortSignal): Promise<HttpResponse>;
  close(): Promise<void>;
}

/** Opens an {@link HttpGet}: the real one, one that records, or one that plays back. */
export type OpenHttp = (options: HttpGetOptions) => HttpGet;

const connectTimeoutMs = 3_000;

/** Builds an {@link HttpGet}. */
export function createHttpGet(options: HttpGetOptions): HttpGet {
  const { provider, timeoutMs, maxBodyBytes, headers, proxies } = options;
  const agent = agentOf(proxies, {
    connections: 5,
    pipelining: 1,
    connectTimeout: Math.min(connectTimeoutMs, timeoutMs),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maxBodyBytes,
  });
  const late = (): ProviderTimeoutError =>
    new ProviderTimeoutError(`${provider} did not answer within ${timeoutMs} ms`, { provider });

  async function get(url: string, parent: AbortSignal): Promise<HttpResponse> {
    parent.throwIfAborted();
    const { signal, dispose } = signalWithDeadline({ parent, ms: timeoutMs, reason: late });
    try {
      const dispatcher = agent.compose(writeOnceInTime(signal, late));
      const response = await dispatcher.request({ ...target(url), method: 'GET', headers, signal });
      const body = Buffer.from(await response.body.arrayBuffer());
      const { 'content-encoding': encoding, ...rest } = response.headers;
      const text = (await decoded(body, { encoding, maxBytes: maxBodyBytes })).toString('utf8');
      return { status: response.statusCode, headers: rest, text };
    } catch (error) {
      if (parent.aborted) throw toError(parent.reason);
      const failure =
        error instanceof ProviderTimeoutError || signal.aborted ? late() : wireError(error, provider);
      failure.evidence = { ...failure.evidence, host: new URL(url).host };
      throw failure;
    } finally {
      dispose();
    }
  }

  return { get, close: () => agent.destroy() };
}

const loopback = 'localhost,127.0.0.1,[::1]';

function agentOf(proxies: Proxies | undefined, options: Agent.Options): Agent | EnvHttpProxyAgent {
  const { http, https, except } = proxies ?? {};
  if ((http === undefined && https === undefined) || except === '*') return new Agent(options);
  return new EnvHttpProxyAgent({
    ...options,
    // Empty strings keep it from reading the environment itself.
    httpProxy: http ?? '',
    httpsProxy: https ?? '',
    noProxy: [except, loopback].filter(Boolean).join(','),
  });
}

const decoders = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
} as const;

/** No encoding is requested, but some caches and proxies encode all the same. */
async function decoded(
  body: Buffer,
  { encoding, maxBytes }: { readonly encoding: string | string[] | undefined; readonly maxBytes: number },
): Promise<Buffer> {
  const names = [encoding ?? []].flat().join(',').toLowerCase().split(',');
  let bytes = body;
  // Encodings are undone in reverse order. A response without a body may have the header too.
  for (const name of names.map((each) => each.trim()).reverse()) {
    if (name === '' || name === 'identity' || bytes.length === 0) continue;
    const decode = Object.hasOwn(decoders, name) ? decoders[name as keyof typeof decoders] : undefined;
    if (decode === undefined) throw new EncodingError(`an unknown encoding (${name})`);
    try {
      bytes = await decode(bytes, { maxOutputLength: maxBytes });
    } catch (cause) {
      const tooLarge = codeOf(cause) === 'ERR_BUFFER_TOO_LARGE';
      throw new EncodingError(tooLarge ? 'a body over the size limit' : `data that is not ${name}`, {
        cause,
      });
    }
  }
  return bytes;
}

/** A body that cannot be decoded; the message says what was sent. */
class EncodingError extends Error {}

function target(url: string): { origin: string; path: string } {
  const { origin } = new URL(url);
  // Keeps the path exactly as given: URL would not change it either, but nothing guarantees that.
  return { origin, path: url.slice(url.indexOf('/', url.indexOf('//') + 2)) };
}

/**
 * Checks the clock right before the request is written, and refuses a second write of the same request (undici may queue it
 * again when a kept-alive connection turns out to be closed).
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
  if (error instanceof EncodingError)
    return new ProviderResponseError(`${provider} sent ${error.message}`, options);
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return new ProviderResponseError(`${provider} sent a body over the size limit`, options);
  }
  if (/^UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT$|^ETIMEDOUT$/.test(code)) {
    return withCode(new ProviderTimeoutError(`${provider} did not answer in time (${code})`, options), code);
  }
  const known = proxyCodeOf(error) ?? (code === '' ? 'unknown' : code);
  const failure = new ProviderConnectionError(`No connection to ${provider} (${known})`, options);
  failure.evidence = { said: rootMessageOf(error).slice(0, 200) };
  return withCode(failure, known);
}

function withCode(failure: ProviderError, code: string): ProviderError {
  failure.evidence = { ...failure.evidence, code };
  return failure;
}

/** The code of a proxy that refuses to connect; undici puts it only in its message. */
function proxyCodeOf(error: unknown): string | undefined {
  const status = /^Proxy response \((\d+)\)/.exec(messageOf(error))?.[1];
  return status === undefined ? undefined : `PROXY_${status}`;
}

/** The message of the innermost error, which is the one of the network. */
function rootMessageOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error
    ? rootMessageOf(error.cause)
    : messageOf(error);
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : codeOf(error.cause);
}
