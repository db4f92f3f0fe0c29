import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { answerCall } from './api.ts';
import { answerControl } from './control.ts';
import { keyErrorBody, rateLimitBody, type Answer } from './errors.ts';
import type { Latency, RequestDeps, RequiredKey } from './settings.ts';
import { spoil } from './spoil.ts';

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
      void answerControl(deps, request, response);
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
  const setStatus = deps.log.receive(path, countIds(query));
  const admission = deps.log.admit(deps.settings.callsPerMinute);
  // The fault is taken at receipt too, so that one injected later never hits a call that is already on its way.
  const fault = admission.admitted ? deps.faults.take(path) : undefined;
  const reply = (): void => {
    if (call.response.destroyed) return;
    if (!admission.admitted) {
      setStatus(send(call, rateLimited(admission.retryAfterMs)));
    } else if (fault === undefined) {
      setStatus(
        send(
          call,
          safely(() => checkedAnswer(deps, call, { path, query })),
        ),
      );
    } else {
      const answer = (): Answer => answerCall(deps.source, path, query);
      const { request, response } = call;
      setStatus(spoil(fault, { request, response, answer, headers: successHeaders }));
    }
  };
  const latency = latencyOf(deps.settings.latencyMs);
  if (latency <= 0) reply();
  else setTimeout(reply, latency);
}

function safely(answer: () => Answer): Answer {
  try {
    return answer();
  } catch {
    return { status: 500, body: { status: 500, error: 'Internal Server Error' } };
  }
}

function checkedAnswer(
  deps: RequestDeps,
  { request, target }: Call,
  { path, query }: { path: string; query: URLSearchParams },
): Answer {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 404, body: { error: 'Incorrect path' } };
  }
  if (target.length > longestUrl)
    return { status: 414, body: '<html><h1>414 Request-URI Too Large</h1></html>' };
  return keyRefusal(deps.settings.apiKey, request, query) ?? answerCall(deps.source, path, query);
}

function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const mark = target.indexOf('?');
  const whole = mark === -1 ? target : target.slice(0, mark);
  const below = whole.startsWith(root) ? whole.slice(root.length) : `${root}?${whole}`;
  const path = below.length > 1 && below.endsWith('/') ? below.slice(0, -1) : below;
  return { path, query: new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1)) };
}

function countIds(query: URLSearchParams): number {
  const ids = query.get('ids');
  return ids === null || ids === '' ? 0 : ids.split(',').length;
}

function latencyOf(latency: Latency): number {
  return typeof latency === 'number' ? latency : latency.min + Math.random() * (latency.max - latency.min);
}

function rateLimited(retryAfterMs: number): Answer {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return { status: 429, body: rateLimitBody, headers: { 'retry-after': String(seconds) } };
}

function keyRefusal(
  required: RequiredKey | undefined,
  request: IncomingMessage,
  query: URLSearchParams,
): Answer | undefined {
  if (required === undefined) return undefined;
  const sent = (plan: 'demo' | 'pro'): string | null =>
    [request.headers[`x-cg-${plan}-api-key`]].flat()[0] ?? query.get(`x_cg_${plan}_api_key`);
  if (sent(required.plan) === required.key) return undefined;
  const other = required.plan === 'demo' ? 'pro' : 'demo';
  if (sent(required.plan) === null && sent(other) !== null) {
    return { status: 400, body: keyErrorBody(other === 'pro' ? 10010 : 10011) };
  }
  return { status: 401, body: keyErrorBody(10002) };
}

function send({ request, response, receivedAt }: Call, answer: Answer): number {
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
