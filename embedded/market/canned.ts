import { keyErrorBody, rateLimitBody, timeRange } from './errors.ts';
import type { FaultKind } from './faults.ts';

const html = (title: string): string =>
  `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`;
const text = 'text/plain; charset=UTF-8';
/** Content type of an HTML page. */
export const page = 'text/html; charset=UTF-8';
/** Content type of every JSON answer. */
export const json = 'application/json; charset=utf-8';

/** An answer that does not depend on what was asked. */
export interface Canned {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly retryAfterSeconds?: number;
}

/** The ready answer of a fault; undefined for a fault that bends the right answer or the connection. */
export function canned(kind: FaultKind): Canned | undefined {
  const asJson = (status: number, body: unknown): Canned => ({
    status,
    type: json,
    body: JSON.stringify(body),
  });
  switch (kind) {
    case 'rate-limited':
      return { ...asJson(429, rateLimitBody), retryAfterSeconds: 7 };
    case 'rate-limited-text':
      return { status: 429, type: text, body: 'Throttled' };
    case 'rate-limited-cloudflare':
      return { status: 429, type: text, body: 'error code: 1015' };
    case 'rate-limited-html':
      return { status: 429, type: page, body: html('429 Too Many Requests') };
    case 'rate-limited-as-200':
      return asJson(200, rateLimitBody);
    case 'request-timeout':
      return asJson(408, { error: 'Request Timeout' });
    case 'firewall':
      return { status: 403, type: text, body: 'error code: 1020' };
    case 'empty-body':
      return { status: 200, type: json, body: '' };
    case 'invalid-json':
      return { status: 200, type: json, body: "{'bitcoin': {'usd': 1,}, oops}" };
    default:
      return cannedKeyError(kind) ?? cannedServerError(kind);
  }
}

function cannedServerError(kind: FaultKind): Canned | undefined {
  switch (kind) {
    case 'server-error':
      return {
        status: 500,
        type: json,
        body: JSON.stringify({ status: 500, error: 'Internal Server Error' }),
      };
    case 'server-error-html':
      return { status: 500, type: page, body: html('500 Internal Server Error') };
    case 'unavailable':
      return { status: 503, type: page, body: html('503 Service Unavailable'), retryAfterSeconds: 5 };
    case 'bad-gateway':
      return { status: 502, type: page, body: html('502 Bad Gateway') };
    case 'uri-too-long':
      return { status: 414, type: page, body: html('414 Request-URI Too Large') };
    default:
      return undefined;
  }
}

function cannedKeyError(kind: FaultKind): Canned | undefined {
  const asJson = (status: number, body: unknown): Canned => ({
    status,
    type: json,
    body: JSON.stringify(body),
  });
  switch (kind) {
    case 'key-missing':
      return asJson(401, keyErrorBody(10002));
    case 'plan-restricted':
      return asJson(401, keyErrorBody(10005));
    case 'wrong-root-pro':
      return asJson(400, keyErrorBody(10010));
    case 'wrong-root-demo':
      return asJson(400, keyErrorBody(10011));
    case 'time-range':
      return asJson(timeRange.status, timeRange.body);
    default:
      return undefined;
  }
}
