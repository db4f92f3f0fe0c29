/**
 * Makes routers of the route table. Each path is one layer for all its methods, and each first part of the path is a router of
 * its own, because the router tries its layers one after the other: a read that is not answered before Koa then passes only its
 * neighbours, and not a hundred paths and methods. Methods are matched here and not by `router.get` with `allowedMethods`,
 * which answers 501 to methods that it does not know.
 */
import Router from '@koa/router';
import type { Next } from 'koa';
import { AppError, NotFoundError } from '../../domain/errors.ts';
import type { Metrics } from '../observability/metrics-registry.ts';
import type { RouteCounter } from '../observability/route-counter.ts';
import type { ApiContext, ApiState } from './context.ts';
import type { Admit } from './admission.ts';
import type { Route } from './route.ts';

interface RoutingDeps {
  readonly admit: Admit;
  readonly metrics: Metrics;
}

type Middleware = (ctx: ApiContext, next: Next) => Promise<unknown> | undefined;

/** One middleware that serves every route of the table, and answers 400, 404 and 405 for everything else. */
export function routing(table: readonly Route[], deps: RoutingDeps): Middleware {
  const routers = new Map<string, Middleware>();
  for (const [group, routes] of groupBy(table, ({ path }) => groupOf(path))) {
    routers.set(group, routerOf(routes, deps));
  }
  const none: Next = () => {
    throw new NotFoundError('Path not found');
  };
  return (ctx) => {
    const { path } = ctx.state;
    if (path === undefined) {
      throw new AppError('The request has no path', { code: 'malformed_request', status: 400 });
    }
    const router = routers.get(groupOf(path));
    return router === undefined ? none() : router(ctx, none);
  };
}

/** `/api/v1/crypto/bitcoin` belongs to `/api/v1/crypto`, `/health/live` to `/health`. */
function groupOf(path: string): string {
  const start = path.startsWith('/api/') ? path.indexOf('/', 5) + 1 : 1;
  const end = path.indexOf('/', Math.max(start, 1));
  return end === -1 ? path : path.slice(0, end);
}

function routerOf(routes: readonly Route[], deps: RoutingDeps): Middleware {
  const router = new Router<ApiState>();
  for (const [path, own] of groupBy(routes, ({ path }) => path)) {
    router.all(path, dispatcher(own, deps));
  }
  return router.routes() as unknown as Middleware;
}

function groupBy(routes: readonly Route[], keyOf: (each: Route) => string): Map<string, Route[]> {
  const groups = new Map<string, Route[]>();
  for (const each of routes) {
    const key = keyOf(each);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return groups;
}

/** Picks the route of a path by the method; HEAD is answered by GET. */
function dispatcher(
  routes: readonly Route[],
  { admit, metrics }: RoutingDeps,
): (ctx: ApiContext) => void | Promise<void> {
  const endpoints = new Map<string, { readonly route: Route; readonly counter: RouteCounter }>();
  for (const each of routes) {
    const endpoint = { route: each, counter: metrics.httpRoute(each.method, each.path) };
    endpoints.set(each.method, endpoint);
    if (each.method === 'GET') endpoints.set('HEAD', endpoint);
  }
  const allow = [...endpoints.keys(), 'OPTIONS'].join(', ');

  return (ctx) => {
    const endpoint = endpoints.get(ctx.method);
    if (endpoint === undefined) {
      refuseMethod(ctx, allow);
      return undefined;
    }
    ctx.state.counter = endpoint.counter;
    return endpoint.route.run(ctx, admit);
  };
}

function refuseMethod(ctx: ApiContext, allow: string): void {
  ctx.set('Allow', allow);
  if (ctx.method !== 'OPTIONS') {
    throw new AppError(`${ctx.method} is not allowed for this path`, {
      code: 'method_not_allowed',
      status: 405,
    });
  }
  ctx.status = 204;
}
