/**
 * Cached reads before Koa. The cost of a cached read is mostly overhead: Koa's context, its router and their promises. So a GET
 * for a route with a fast path, by a path that needs no decoding, is admitted and tried here first. It is treated like any
 * other request: id, limits, headers, count, access log. A request that is not answered here, because it was refused or is not
 * in memory, continues to Koa with its known state, so that it is admitted, counted and logged once.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse, type ParsedUrlQuery } from 'node:querystring';
import type { Metrics } from '../observability/metrics-registry.ts';
import type { RouteCounter } from '../observability/route-counter.ts';
import type { ApiState, HttpContext } from './context.ts';
import type { Admit } from './admission.ts';
import type { RequestContext } from './request-context.ts';
import type { Route } from './route.ts';

interface Endpoint {
  readonly runFastPath: NonNullable<Route['runFastPath']>;
  readonly counter: RouteCounter;
  /** Whether its answers are the same for pages of other origins. */
  readonly anyOrigin: boolean;
}

/** Longer URLs are rare, and some routes refuse them. */
const longestUrl = 8_192;
/** The last part of a path, where no decoding changes it. */
const plainPart = /^[\w.-]{1,100}$/;
/** A path whose only parameter is its last part. */
const withLastParam = /^([^:]*\/):(\w+)$/;

/** Builds the handler that answers requests from memory; it returns false to leave a request to Koa. */
export function createFastPath(
  table: readonly Route[],
  {
    admit,
    metrics,
    requestContext,
  }: {
    readonly admit: Admit;
    readonly metrics: Metrics;
    readonly requestContext: RequestContext;
  },
): (req: IncomingMessage, res: ServerResponse) => boolean {
  const find = finderOf(table, metrics);

  return (req, res) => {
    const { method, url = '', headers } = req;
    if (method !== 'GET' || url.length > longestUrl) return false;
    const mark = url.indexOf('?');
    const path = mark === -1 ? url : url.slice(0, mark);
    const found = find(path);
    if (found === undefined || (headers.origin !== undefined && !found.endpoint.anyOrigin)) return false;
    const { endpoint, params } = found;
    const state = requestContext.receive(req, res, path);
    state.counter = endpoint.counter;
    const querystring = mark === -1 ? '' : url.slice(mark + 1);
    try {
      if (endpoint.runFastPath(new FastPathContext({ req, res, state, params, querystring }), admit))
        return true;
    } catch (error) {
      state.admission = { viewer: refused(error) };
    }
    // A refusal is for Koa to answer; until it gets there nobody has missed it.
    if (state.admission?.viewer instanceof Promise) state.admission.viewer.catch(() => undefined);
    requestContext.passOn(req, state);
    return false;
  };
}

interface Found {
  readonly endpoint: Endpoint;
  readonly params: Readonly<Record<string, string>>;
}

/** Finds by the path as it was sent: any other spelling of a path is for the router. */
function finderOf(table: readonly Route[], metrics: Metrics): (path: string) => Found | undefined {
  const literals = new Map<string, Found | undefined>();
  const parents = new Map<string, Endpoint & { readonly param: string }>();
  for (const { method, path, api, runFastPath } of table) {
    const endpoint = runFastPath && {
      runFastPath,
      counter: metrics.httpRoute(method, path),
      anyOrigin: api === 'v3',
    };
    const [, parent, param] = withLastParam.exec(path) ?? [];
    // Literal paths without a shortcut too: none of them is a parameter of another.
    if (!path.includes(':')) literals.set(path, endpoint ? { endpoint, params: {} } : literals.get(path));
    else if (endpoint !== undefined && parent !== undefined && param !== undefined)
      parents.set(parent, { ...endpoint, param });
  }
  return (path) => {
    const literal = literals.get(path);
    if (literal !== undefined || literals.has(path)) return literal;
    const start = path.lastIndexOf('/') + 1;
    const endpoint = parents.get(path.slice(0, start));
    if (endpoint === undefined) return undefined;
    const part = path.slice(start);
    return plainPart.test(part) ? { endpoint, params: { [endpoint.param]: part } } : undefined;
  };
}

/** What Koa's context would say of a request. */
class FastPathContext implements HttpContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly state: ApiState;
  readonly params: Readonly<Record<string, string>>;
  readonly querystring: string;
  respond: boolean | undefined = undefined;

  constructor({ req, res, state, params, querystring }: Required<Omit<HttpContext, 'query' | 'respond'>>) {
    this.req = req;
    this.res = res;
    this.state = state;
    this.params = params;
    this.querystring = querystring;
  }

  /** Parsed when it is looked into, which is seldom. */
  get query(): ParsedUrlQuery {
    return parse(this.querystring);
  }
}

/** Refuses later, where Koa takes over. */
async function refused(error: unknown): Promise<never> {
  return await Promise.resolve().then(() => {
    throw error;
  });
}
