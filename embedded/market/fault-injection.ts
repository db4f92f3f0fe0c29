import type { IncomingMessage, ServerResponse } from 'node:http';
import { json, page, type MarketResponse } from './error-responses.ts';
import { cannedIn, type Dialect } from './dialects.ts';
import type { FaultDetails, FaultKind } from './market-state.ts';

/** What a fault needs to alter one call. */
interface FaultedCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The answer that a healthy market would give. */
  readonly answer: () => MarketResponse;
  /** The provider in whose form the call is answered. */
  readonly dialect: Dialect;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Writes the answer of the fault instead of the right one.
 * @returns the status sent, 0 for none.
 */
export function injectFault(fault: FaultDetails, call: FaultedCall): number {
  const ready = cannedIn(call.dialect, fault);
  if (ready === undefined) return injectDeliveryFault(fault, call);
  const status = fault.status ?? ready.status;
  const retryAfter = fault.retryAfterSeconds ?? ready.retryAfterSeconds;
  // As measured, errors carry no CORS and no caching headers.
  call.response.writeHead(status, {
    'content-type': ready.type,
    'content-length': String(Buffer.byteLength(ready.body)),
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  });
  call.response.end(ready.body);
  return status;
}

function injectDeliveryFault(fault: FaultDetails, call: FaultedCall): number {
  switch (fault.kind) {
    case 'hang':
      return 0;
    case 'reset-before':
      call.request.socket.resetAndDestroy();
      return 0;
    case 'reset-during':
      return sendHalf(call);
    case 'slow-drip':
      return drip(call, fault.intervalMs ?? 100);
    case 'huge-body':
      return sendHuge(call, fault.bytes ?? 50_000_000);
    default:
      return sendText(call, faultedText(fault.kind, call.answer().body), fault.kind);
  }
}

function sendText({ response, headers }: FaultedCall, body: string, kind: FaultKind): number {
  const type = kind === 'wrong-content-type' ? page : json;
  response.writeHead(200, {
    ...headers,
    'content-type': type,
    'content-length': String(Buffer.byteLength(body)),
  });
  response.end(body);
  return 200;
}

/** Announces the whole length, sends half of it and resets the connection once that half is on its way. */
function sendHalf({ request, response, headers, answer }: FaultedCall): number {
  const body = Buffer.from(JSON.stringify(answer().body));
  response.writeHead(200, { ...headers, 'content-type': json, 'content-length': String(body.length) });
  response.write(body.subarray(0, Math.ceil(body.length / 2)), () => {
    setTimeout(() => request.socket.resetAndDestroy(), 20).unref();
  });
  return 200;
}

function drip({ response, headers, answer }: FaultedCall, intervalMs: number): number {
  const body = Buffer.from(JSON.stringify(answer().body));
  response.writeHead(200, { ...headers, 'content-type': json, 'content-length': String(body.length) });
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    response.write(body.subarray(sent - 1, sent));
    if (sent < body.length) return;
    clearInterval(timer);
    response.end();
  }, intervalMs);
  response.once('close', () => clearInterval(timer));
  return 200;
}

/** One valid JSON object of about `bytes`, written no faster than it is read. */
function sendHuge({ response, headers }: FaultedCall, bytes: number): number {
  const chunk = 'x'.repeat(65_536);
  response.writeHead(200, { ...headers, 'content-type': json });
  response.write('{"padding":"');
  let left = bytes;
  const pump = (): void => {
    while (left > 0) {
      const part = left >= chunk.length ? chunk : chunk.slice(0, left);
      left -= part.length;
      if (!response.write(part)) {
        response.once('drain', pump);
        return;
      }
    }
    response.end('"}');
  };
  pump();
  return 200;
}

function faultedText(kind: FaultKind, body: unknown): string {
  const whole = JSON.stringify(body);
  switch (kind) {
    case 'truncated-json':
      return whole.slice(0, Math.ceil(whole.length / 2));
    case 'wrong-shape':
      return Array.isArray(body) ? '{}' : '[]';
    case 'nan-prices':
      return JSON.stringify(withPrices(body, () => '@NaN@')).replaceAll('"@NaN@"', 'NaN');
    case 'text-prices':
      return JSON.stringify(withPrices(body, () => 'NaN'));
    case 'null-prices':
      return JSON.stringify(withPrices(body, () => null));
    case 'zero-prices':
      return JSON.stringify(withPrices(body, () => 0));
    case 'negative-prices':
      return JSON.stringify(withPrices(body, (price) => -price));
    default:
      return whole;
  }
}

/** The body with every price replaced: in rows, in charts, and the plain currency keys of `/simple/price`. */
function withPrices(body: unknown, replace: (price: number) => unknown): unknown {
  return JSON.parse(JSON.stringify(body), (key: string, value: unknown) => {
    if (typeof value === 'number' && /^(?:current_price|price|[a-z]{3,4})$/.test(key)) return replace(value);
    return key === 'prices' && Array.isArray(value) ? value.map((point) => pointWith(point, replace)) : value;
  });
}

/** A point of a chart is a pair; those of other shapes have a `price`, which is replaced already. */
function pointWith(point: unknown, replace: (price: number) => unknown): unknown {
  const [at, price] = Array.isArray(point) ? (point as unknown[]) : [];
  return typeof price === 'number' ? [at, replace(price)] : point;
}
