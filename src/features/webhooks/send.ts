/**
 * One attempt: a POST to a checked address. The name is resolved here, all its addresses are checked, and the
 * connection is made to one of exactly these: a later answer of the name server changes nothing. Everything is limited:
 * the lookup, the connect, the whole time, and how much is read of the answer, which is shown to nobody. Redirects are
 * not followed.
 */
import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { isIP, isIPv6, type LookupFunction } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import type { AddressGuard } from './address-guard.ts';
import { hostOf, isLocalName, type WebhookTargets } from './target.ts';
import { retryAfterMsOf, type Attempted } from './verdict.ts';

export type SendWebhook = ReturnType<typeof createSend>;

interface SendDeps {
  readonly guard: AddressGuard;
  readonly targets: Pick<WebhookTargets, 'problemOf'>;
  /** All addresses of a host; {@link resolveHost} when absent. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Longest time (ms) of a connect; 5 s when absent. */
  readonly connectMs?: number;
  /** Longest time (ms) of an attempt; 10 s when absent. */
  readonly totalMs?: number;
}

/** Timeout (ms) of a query to a name server, number of tries, and the longest time of all of them. */
const resolveTryMs = 1_500;
const resolveTries = 2;
const resolveMs = 3_000;
const defaultConnectMs = 5_000;
const defaultTotalMs = 10_000;
/**
 * What is read of an answer (bytes), and for how long (ms): some receivers fail if the connection ends while they
 * write.
 */
const readBytes = 1_024;
const readMs = 500;
/** Largest header section of an answer (bytes). */
const maxHeaderBytes = 16_384;
/** Most addresses of one host that are tried. */
const maxAddresses = 8;

/**
 * All addresses of a host, which may itself be an address. Asks name servers directly, without the threads that the
 * system's lookup would block, so that a slow name server delays nothing else.
 * @throws {Error} the name could not be resolved in time.
 */
export async function resolveHost(host: string): Promise<readonly string[]> {
  if (isIP(host) > 0) return [host];
  if (isLocalName(host)) return ['127.0.0.1', '::1'];
  const resolver = new Resolver({ timeout: resolveTryMs, tries: resolveTries });
  try {
    const requested = Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const answers = await withDeadline(requested, resolveMs, 'looking the host up');
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  } finally {
    resolver.cancel();
  }
}

/**
 * Builds the sender, which makes an attempt and returns its outcome. A failing receiver is not an error here; the
 * sender throws the reason of the signal when that has aborted.
 */
export function createSend(deps: SendDeps) {
  const { targets, totalMs = defaultTotalMs } = deps;
  return async ({ signal, ...request }: Parameters<typeof attempt>[1]): Promise<Attempted> => {
    signal.throwIfAborted();
    // The rules may have become stricter since it was stored.
    const problem = targets.problemOf(request.url);
    if (problem !== undefined) return { error: `The URL ${problem}`, isHopeless: true };
    const late = new AbortController();
    const stop = (): void => late.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const timer = setTimeout(() => late.abort(new Error('late')), totalMs);
    try {
      return await attempt(deps, { ...request, signal: late.signal });
    } catch (error) {
      signal.throwIfAborted();
      const isLate = late.signal.aborted;
      return { error: isLate ? `There was no answer within ${totalMs / 1000} s` : wireProblem(error) };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  };
}

async function attempt(
  deps: SendDeps,
  {
    url,
    headers,
    body,
    signal,
  }: {
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    /** Aborts when this process must stop; the attempt is then none. */
    readonly signal: AbortSignal;
  },
): Promise<Attempted> {
  const { guard, resolve = resolveHost, connectMs = defaultConnectMs, totalMs = defaultTotalMs } = deps;
  const target = new URL(url);
  const addresses = await resolve(hostOf(target)).catch(() => []);
  if (addresses.length === 0) return { error: 'The host has no address' };
  // Not which: what a name means inside of this network is nobody's business.
  if (!addresses.every((address) => guard.allows(address)))
    return { error: 'The host has an address that is not public', isHopeless: true };
  signal.throwIfAborted();
  const client = new Client(target.origin, {
    connect: { lookup: lookupOf(addresses), timeout: connectMs, autoSelectFamily: true },
    headersTimeout: totalMs,
    bodyTimeout: totalMs,
    maxHeaderSize: maxHeaderBytes,
    pipelining: 1,
  });
  try {
    const path = `${target.pathname}${target.search}`;
    const response = await client.request({ method: 'POST', path, headers, body, signal });
    await response.body
      .dump({ limit: readBytes, signal: AbortSignal.timeout(readMs) })
      .catch(() => undefined);
    return attemptedOf(response);
  } finally {
    void client.destroy().catch(() => undefined);
  }
}

/** Answers every question of a socket with the addresses that were checked. */
function lookupOf(addresses: readonly string[]): LookupFunction {
  const found = addresses
    .slice(0, maxAddresses)
    .map((address): LookupAddress => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, { all }, answer) => {
    const [first] = found;
    if (all === true || first === undefined) answer(null, found);
    else answer(null, first.address, first.family);
  };
}

function attemptedOf({ statusCode: status, headers }: Dispatcher.ResponseData): Attempted {
  if (status >= 200 && status < 300) return { status };
  if (status >= 300 && status < 400)
    return { status, error: `The receiver answered ${status}, and redirects are not followed` };
  const requested = headers['retry-after'];
  const mayAsk = status === 429 || status === 503;
  return {
    status,
    error: `The receiver answered ${status}`,
    isHopeless: status === 410,
    retryAfterMs: mayAsk && typeof requested === 'string' ? retryAfterMsOf(requested, Date.now()) : undefined,
  };
}

const wireProblems: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: 'No connection could be made in time',
  UND_ERR_HEADERS_TIMEOUT: 'There was no answer in time',
  UND_ERR_HEADERS_OVERFLOW: 'The response headers were too large',
  ECONNREFUSED: 'The connection was refused',
  ECONNRESET: 'The connection was lost',
  UND_ERR_SOCKET: 'The connection was lost',
  EPIPE: 'The connection was lost',
  ETIMEDOUT: 'No connection could be made in time',
  ENETUNREACH: 'The host cannot be reached',
  EHOSTUNREACH: 'The host cannot be reached',
};

/** What an owner may know of a failure: no address, nothing that the receiver sent. */
function wireProblem(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code = first instanceof Error && 'code' in first && typeof first.code === 'string' ? first.code : '';
  const known = wireProblems[code];
  if (known !== undefined) return known;
  return /^[A-Z][A-Z\d_]{2,60}$/.test(code) ? `The request failed (${code})` : 'The request failed';
}
