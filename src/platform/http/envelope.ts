import type { ApiContext, HttpContext } from './context.ts';
import { limitField, policyField } from './limit-headers.ts';

const jsonType = 'application/json; charset=utf-8';

/**
 * Headers of every response: no sniffing of types, no scripts or resources, no framing or embedding by other sites, no shared
 * windows, and no referrer. CORS decides about cross-origin reads.
 */
export const constantHeaders = [
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['Referrer-Policy', 'no-referrer'],
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
] as const;
const constantPairs: string[] = constantHeaders.flat();

/** Answers with the envelope of `/api/v1`. */
export function answer(
  ctx: ApiContext,
  {
    status = 200,
    message,
    data,
  }: {
    /** 200 when absent. */
    readonly status?: number;
    readonly message: string;
    readonly data: unknown;
  },
): void {
  respondJson(ctx, status, JSON.stringify({ success: true, message, data }));
}

/** Puts the envelope around data that is already JSON text, so that large results are never parsed to be sent. */
export function envelopeOf(message: string, dataJson: string): string {
  return `{"success":true,"message":${JSON.stringify(message)},"data":${dataJson}}`;
}

/** Answers with JSON text as it is. */
export function respondJson(ctx: ApiContext, status: number, json: string): void {
  ctx.status = status;
  ctx.res.setHeader('Content-Type', jsonType);
  ctx.body = json;
}

/**
 * Answers 200 with JSON (or 304 without) at once, bypassing Koa's response: headers and body are written together, and no
 * header is stored to be read again. For the few routes whose cost is the cost of responding. Headers that were set before are
 * sent too, together with the pairs of name and value in `headers`. `bytes` has one character for each byte of the UTF-8 text,
 * which Node copies behind the headers unchanged.
 */
export function respondDirectly(
  ctx: HttpContext,
  bytes: string,
  { status = 200, headers = [] }: { readonly status?: 200 | 304; readonly headers?: readonly string[] } = {},
): void {
  ctx.respond = false;
  const { requestId, limits } = ctx.state;
  const head = constantPairs.slice();
  head.push('X-Request-Id', requestId);
  if (status === 200) head.push('Content-Type', jsonType, 'Content-Length', String(bytes.length));
  if (limits.length > 0) head.push('RateLimit-Policy', policyField(limits), 'RateLimit', limitField(limits));
  for (const part of headers) head.push(part);
  ctx.res.writeHead(status, head);
  ctx.res.end(status === 200 ? bytes : '', 'latin1');
}

/** The headers of every response, as pairs of name and value: for responses that bypass Koa, which would store each of them. */
export function responseHeadersOf({ state: { requestId, limits } }: ApiContext): string[] {
  const own = ['X-Request-Id', requestId];
  if (limits.length > 0) own.push('RateLimit-Policy', policyField(limits), 'RateLimit', limitField(limits));
  return constantPairs.concat(own);
}

/** Sets the headers of every response, except those that the route has already set. */
export function setResponseHeaders(ctx: ApiContext): void {
  const { res } = ctx;
  const { requestId, limits } = ctx.state;
  res.setHeader('X-Request-Id', requestId);
  for (const [name, value] of constantHeaders) if (!res.hasHeader(name)) res.setHeader(name, value);
  if (limits.length === 0) return;
  res.setHeader('RateLimit-Policy', policyField(limits));
  res.setHeader('RateLimit', limitField(limits));
}
