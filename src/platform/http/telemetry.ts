/**
 * The outermost layer, for everything that every request needs: request id, constant headers, the error response, the count and
 * the line in the access log. It is one middleware because each layer costs a promise, and a cached read costs little more than
 * that.
 */
import type { Next } from 'koa';
import type { Logger } from '../observability/logger.ts';
import type { ApiContext } from './context.ts';
import { setResponseHeaders } from './envelope.ts';
import { problemJson, severityOf, toProblem } from './problem.ts';
import { toV3Refusal } from './v3-errors.ts';
import { isV3 } from './v3-path.ts';
import { noPath, type RequestContext } from './request-context.ts';

/** Builds the outermost middleware. */
export function telemetry({
  requestContext,
  log,
}: {
  readonly requestContext: RequestContext;
  readonly log: Logger;
}) {
  return async (ctx: ApiContext, next: Next): Promise<void> => {
    const { req, res } = ctx;
    ctx.state = requestContext.receive(req, res, pathOf(ctx));
    try {
      await next();
    } catch (error) {
      refuse(ctx, error, log);
    }
    if (!res.headersSent) setResponseHeaders(ctx);
  };
}

/** A URL in absolute form may lack a path, and the parser throws at some (`http://[::/`), each time it is asked. */
function pathOf(ctx: ApiContext): string | undefined {
  try {
    const path = ctx.path as string | null;
    return path ?? undefined;
  } catch {
    return undefined;
  }
}

function refuse(ctx: ApiContext, error: unknown, log: Logger): void {
  const problem = toProblem(error);
  const { requestId, path = noPath } = ctx.state;
  const severity = severityOf(error, problem);
  if (severity === 'error') log.error({ err: error, req: requestId, path }, 'a request failed');
  if (severity === 'warn') {
    const { code, message: reason } = problem;
    log.warn(
      { code, reason, req: requestId, path },
      'a request was answered with 503 because a dependency failed, see `reason`; the client may retry',
    );
  }
  if (ctx.headerSent) {
    // Too late for another status: cutting the connection is the only way left to say that this answer is not whole.
    ctx.res.destroy();
    return;
  }
  if (problem.status === 401) ctx.set('WWW-Authenticate', 'Bearer');
  if (problem.retryAfterSeconds !== undefined)
    ctx.set('Retry-After', String(Math.ceil(problem.retryAfterSeconds)));
  // A body that was refused halfway is read and thrown away, else the client, still sending, would never read the answer;
  // the server's request timeout bounds it.
  ctx.req.resume();
  ctx.respond = true;
  ctx.status = problem.status;
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.body = isV3(path) ? refuseV3(ctx, error) : problemJson(problem, requestId);
}

/** The text of a refusal in CoinGecko's shape, and its headers set. */
function refuseV3(ctx: ApiContext, error: unknown): string {
  const { status, json, headers } = toV3Refusal(error, toProblem(error));
  ctx.status = status;
  ctx.set(headers);
  return json;
}
