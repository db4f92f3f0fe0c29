import type { ApiContext } from '../context.ts';

const jsonType = 'application/json; charset=utf-8';

/** Of every answer: it is what its type says, is shown in no frame, and sends no address on. */
const constantPairs = [
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['Referrer-Policy', 'no-referrer'],
] as const;
const constantHeaders: string[] = constantPairs.flat();

interface Answer {
  /** 200 when absent. */
  readonly status?: number;
  readonly message: string;
  readonly data: unknown;
}

/** Answers with the envelope of `/api/v1`. */
export function answer(ctx: ApiContext, { status = 200, message, data }: Answer): void {
  answerJson(ctx, status, JSON.stringify({ success: true, message, data }));
}

/** The envelope around data that is JSON text already, so that large results are never parsed to be sent on. */
export function envelopeOf(message: string, dataJson: string): string {
  return `{"success":true,"message":${JSON.stringify(message)},"data":${dataJson}}`;
}

/** Answers with JSON text as it is. */
export function answerJson(ctx: ApiContext, status: number, json: string): void {
  ctx.status = status;
  ctx.res.setHeader('Content-Type', jsonType);
  ctx.body = json;
}

/**
 * Answers 200 with JSON at once, past Koa's own answering: head and body leave in one write, and no header is stored to
 * be read again. For the few routes whose cost is the cost of answering. Headers that were set before are sent too.
 * `bytes` has one character for each byte of the UTF-8 text, which Node copies behind the head as it is.
 */
export function answerAtOnce(ctx: ApiContext, bytes: string): void {
  ctx.respond = false;
  const length = String(bytes.length);
  const own = ['X-Request-Id', ctx.state.requestId, 'Content-Type', jsonType, 'Content-Length', length];
  ctx.res.writeHead(200, constantHeaders.concat(own));
  ctx.res.end(bytes, 'latin1');
}

/** Sets the headers that every answer has. */
export function stamp(ctx: ApiContext): void {
  ctx.res.setHeader('X-Request-Id', ctx.state.requestId);
  for (const [name, value] of constantPairs) ctx.res.setHeader(name, value);
}
