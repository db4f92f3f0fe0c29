/**
 * The outermost layer, one for all that every request needs: request id, constant headers, the problem for whatever was
 * thrown, the count and the line in the access log. They are one middleware because each layer costs a promise, and a
 * cached read has little more than that to spend.
 */
import type { Next } from 'koa';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import type { ApiContext } from '../context.ts';
import { isFault, problemJson, toProblem } from '../present/problem.ts';
import { createRequestIds } from './request-id.ts';

interface TelemetryDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Status in the log and the metrics of a request whose client went away before the answer was complete. */
const clientGone = 499;

/** Builds the outermost middleware. */
export function telemetry({ log, metrics }: TelemetryDeps) {
  const requestIds = createRequestIds();
  const unmatched = metrics.httpRoute('ANY', 'unmatched');
  // These lines are made of fields that are chosen below; searching them for secrets would cost more than writing them.
  const access = log.child({}, { redact: [] });

  function finish(ctx: ApiContext, startedAt: number): void {
    const { res, state } = ctx;
    const status = res.writableFinished ? res.statusCode : clientGone;
    const ms = performance.now() - startedAt;
    state.tally.add(status, ms / 1000);
    access.info(
      {
        req: state.requestId,
        method: ctx.method,
        path: ctx.path,
        route: state.tally.route,
        status,
        ms: Math.round(ms * 1000) / 1000,
        user: state.principal?.userId,
      },
      'request',
    );
  }

  return async (ctx: ApiContext, next: Next): Promise<void> => {
    const startedAt = performance.now();
    const { req, res } = ctx;
    const requestId = requestIds(req.headers['x-request-id']);
    ctx.state.requestId = requestId;
    ctx.state.principal = undefined;
    ctx.state.tally = unmatched;
    res.setHeader('X-Request-Id', requestId);
    res.setHeader('X-Content-Type-Options', 'nosniff');
    res.once('close', () => finish(ctx, startedAt));
    try {
      await next();
    } catch (error) {
      refuse(ctx, error, log);
    }
  };
}

function refuse(ctx: ApiContext, error: unknown, log: Logger): void {
  const problem = toProblem(error);
  const { requestId } = ctx.state;
  if (isFault(error, problem)) log.error({ err: error, req: requestId, path: ctx.path }, 'a request failed');
  if (ctx.headerSent) {
    // Too late for another status: cutting the connection is the only way left to say that this answer is not whole.
    ctx.res.destroy();
    return;
  }
  if (problem.status === 401) ctx.set('WWW-Authenticate', 'Bearer');
  if (problem.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(Math.ceil(problem.retryAfterSeconds)));
  ctx.respond = true;
  ctx.status = problem.status;
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.body = problemJson(problem, requestId);
}
