import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { respondToCall, type MarketCall } from './api.ts';
import { respondToControl } from './control.ts';
import { dialectOf, keyRefusal, rateLimited } from './dialects.ts';
import type { MarketResponse } from './error-responses.ts';
import type { Latency, RequestDeps } from './market-state.ts';
import { injectFault } from './fault-injection.ts';

const root = '/api/v3';
/** Bytes of path and query beyond which the real service's edge answers 414. */
const longestUrl = 8_192;
const json = 'application/json; charset=utf-8';

/** Caching and CORS headers of every successful answer. */
const successHeaders = {
  'cache-control': 'max-age=30, public, must-revalidate, s-maxage=60',
  vary: 'Accept-Encoding, Origin',
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'link, per-page, total',
} as const;

/** The server's one listener: control calls, then the API with its limit, key check, faults and latency. */
export function createRequestListener(deps: RequestDeps): RequestListener {
  let requestCount = 0;
  return (request, response) => {
    const target = request.url ?? '/';
    if (target.startsWith('/__market/')) {
      void respondToControl(deps, request, response);
      return;
    }
    requestCount += 1;
    response.setHeader('x-request-id', `market-${process.pid}-${requestCount}`);
    receiveCall(deps, { request, response, target, receivedAt: performance.now() });
  };
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: string;
  readonly receivedAt: number;
}

/** Counts the call at its receipt; everything else happens after the latency, as it would at a distant server. */
function receiveCall(deps: RequestDeps, call: Call): void {
  const { path, query } = splitTarget(call.target);
  const setStatus = deps.log.receive(path, countIds(path, query));
  const dialect = dialectOf(path);
  const admission = deps.log.admit(deps.settings.callsPerMinute);
  // The fault is taken at receipt too, so that one injected later never hits a call that is already on its way.
  const fault = admission.admitted ? deps.faults.take(path) : undefined;
  const reply = (): void => {
    if (call.response.destroyed) return;
    if (!admission.admitted) {
      setStatus(send(call, rateLimited(dialect, admission.retryAfterMs)));
    } else if (fault === undefined) {
      setStatus(
        send(
          call,
          safely(() => checkedResponse(deps, call, { path, query })),
        ),
      );
    } else {
      const answer = (): MarketResponse => respondToCall(marketCall(deps, { path, query }));
      const { request, response } = call;
      setStatus(injectFault(fault, { request, response, answer, dialect, headers: successHeaders }));
    }
  };
  const latency = latencyOf(deps.settings.latencyMs);
  if (latency <= 0) reply();
  else setTimeout(reply, latency);
}

function safely(answer: () => MarketResponse): MarketResponse {
  try {
    return answer();
  } catch {
    return { status: 500, body: { status: 500, error: 'Internal Server Error' } };
  }
}

function checkedResponse(
  deps: RequestDeps,
  { request, target }: Call,
  { path, query }: { path: string; query: URLSearchParams },
): MarketResponse {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 404, body: { error: 'Incorrect path' } };
  }
  if (target.length > longestUrl)
    return { status: 414, body: '<html><h1>414 Request-URI Too Large</h1></html>' };
  const refusal = keyRefusal(deps.settings.apiKey, { path, query, headers: request.headers });
  return refusal ?? respondToCall(marketCall(deps, { path, query }));
}

function marketCall(
  { source, settings, log }: RequestDeps,
  { path, query }: { path: string; query: URLSearchParams },
): MarketCall {
  return {
    source,
    path,
    query,
    historyDays: settings.historyDays,
    account: {
      plan: settings.apiKey?.plan === 'pro' ? 'Pro' : 'Demo',
      callsPerMinute: settings.callsPerMinute ?? 30,
      monthlyCredits: settings.monthlyCredits,
      callsOfMonth: log.total(),
    },
  };
}

function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const mark = target.indexOf('?');
  const whole = mark === -1 ? target : target.slice(0, mark);
  // The other shapes keep their whole path, which is what tells them apart.
  const other = whole.startsWith('/cmc/') || whole.startsWith('/llama/') ? whole : `${root}?${whole}`;
  const below = whole.startsWith(root) ? whole.slice(root.length) : other;
  const path = below.length > 1 && below.endsWith('/') ? below.slice(0, -1) : below;
  return { path, query: new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1)) };
}

function countIds(path: string, query: URLSearchParams): number {
  const ofPath = /^\/llama\/(?:prices\/current|chart)\/(.+)$/.exec(path)?.[1];
  const ids = ofPath ?? query.get('ids') ?? query.get('slug') ?? query.get('id') ?? '';
  return ids === '' ? 0 : ids.split(',').length;
}

function latencyOf(latency: Latency): number {
  return typeof latency === 'number' ? latency : latency.min + Math.random() * (latency.max - latency.min);
}

function send({ request, response, receivedAt }: Call, answer: MarketResponse): number {
  const isText = typeof answer.body === 'string';
  const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  const headers: Record<string, string> = {
    ...(answer.status === 200 ? successHeaders : {}),
    ...answer.headers,
    'content-type': isText ? 'text/html; charset=UTF-8' : json,
  };
  if (answer.status === 200) {
    headers['etag'] = `W/"${createHash('md5').update(body).digest('hex')}"`;
    headers['x-runtime'] = ((performance.now() - receivedAt) / 1_000).toFixed(6);
    if (request.headers['if-none-match'] === headers['etag']) {
      response.writeHead(304, headers).end();
      return 304;
    }
  }
  headers['content-length'] = String(Buffer.byteLength(body));
  response.writeHead(answer.status, headers).end(body);
  return answer.status;
}
