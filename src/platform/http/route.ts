/**
 * Routes as values. The router and the OpenAPI document are both built from these, so that they cannot contradict each other.
 */
import type { ParsedUrlQuery } from 'node:querystring';
import type { z } from 'zod';
import type { Principal } from '../../domain/principal.ts';
import type { Access, AccessRule, RouteScope } from './access-rule.ts';
import type { ApiContext, HttpContext } from './context.ts';
import type { Admit } from './admission.ts';
import { validate } from './validate.ts';
import { HttpMethodEnum, koaBody } from 'koa-body';
import { AppError } from '../../domain/errors.ts';

type Nothing = z.ZodUndefined;

/** What a handler gets: checked, converted, and nothing else of the request. */
interface Input<A extends Access, P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly params: z.output<P>;
  readonly query: z.output<Q>;
  readonly body: z.output<B>;
  readonly viewer: A extends 'open' ? undefined : Principal;
}

/** One row of the route table. Every route that is not open declares what an API key needs to call it. */
export type RouteSpec<
  A extends Access,
  P extends z.ZodType = Nothing,
  Q extends z.ZodType = Nothing,
  B extends z.ZodType = Nothing,
> = RouteBase<A, P, Q, B> & (A extends 'open' ? { readonly scope?: never } : { readonly scope: RouteScope });

/** What a request header means to a route that refuses requests without it. */
export interface RouteHeader {
  readonly description: string;
  readonly required: true;
}

interface RouteBase<A extends Access, P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Full path with `:name` for parameters. */
  readonly path: string;
  readonly access: A;
  /** `v3`: CoinGecko's contract. It takes keys as CoinGecko does too, and its answers have no envelope. */
  readonly api?: 'v3';
  /** Takes a stream ticket in the query instead of a header. */
  readonly takesTicket?: boolean;
  /** Of an open route: counts against an allowance of its own. */
  readonly allowance?: 'login' | 'refresh';
  /** Counts against no limit. */
  readonly unlimited?: boolean;
  /** Clients are to use another route; this one goes with a later release. */
  readonly deprecated?: boolean;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** Request headers with a meaning here, and what they mean. */
  readonly headers?: Readonly<Record<string, string | RouteHeader>>;
  /** What the answers mean, by status. Those that any route can give (401, 413, 422…) are added to the document by themselves. */
  readonly responses: Readonly<Record<number, string>>;
  /** Of a body that the handler reads itself: JSON schemas by content type. Without it, whatever is sent is not read. */
  readonly takes?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Content type of the good answer when it is not JSON. */
  readonly produces?: string;
  /**
   * Tried after admission and before validation, and before Koa wherever that can be; true when it has answered. For answers
   * that need neither copy nor check.
   */
  readonly fastPath?: (ctx: HttpContext) => boolean;
  readonly handler: (ctx: ApiContext, input: Input<A, P, Q, B>) => void | Promise<void>;
}

/** A route after its types have been checked. */
export interface Route extends Omit<
  RouteBase<Access, z.ZodType, z.ZodType, z.ZodType>,
  'handler' | 'fastPath'
> {
  readonly scope: RouteScope | undefined;
  readonly run: (ctx: ApiContext, admit: Admit) => void | Promise<void>;
  /**
   * Admits a request and tries the shortcut, without Koa. When it has not answered, `run` goes on from what came of the
   * admission, which stands in the state. Absent without a shortcut.
   * @throws {AppError} what the client is to be told.
   */
  readonly runFastPath?: (ctx: HttpContext, admit: Admit) => boolean;
}

/** Builds a route from a spec: admit, fast path, validate, handle. */
export function route<
  A extends Access,
  P extends z.ZodType = Nothing,
  Q extends z.ZodType = Nothing,
  B extends z.ZodType = Nothing,
>(spec: RouteSpec<A, P, Q, B>): Route {
  const { access, scope, params, query, body, fastPath, handler, ...described } = spec as RouteBase<
    A,
    P,
    Q,
    B
  > & {
    readonly scope?: RouteScope;
  };
  const { takesTicket = false, unlimited = false, allowance, api } = described;
  const takesCoinGeckoKey = api === 'v3';
  const rule: AccessRule = { access, scope, takesTicket, takesCoinGeckoKey, unlimited, allowance };

  async function check(ctx: ApiContext, viewer: Principal | undefined): Promise<void> {
    const [checkedParams, checkedQuery, checkedBody] = validate([
      { schema: params, given: ctx['params'], prefix: '' },
      {
        schema: query,
        given: api === 'v3' ? withoutBrackets(ctx.query) : { ...ctx.query },
        prefix: 'query.',
      },
      { schema: body, given: body === undefined ? undefined : await readBody(ctx), prefix: '' },
    ]);
    const input = { params: checkedParams, query: checkedQuery, body: checkedBody, viewer };
    await handler(ctx, input as Input<A, P, Q, B>);
  }

  function serve(ctx: ApiContext, viewer: Principal | undefined): void | Promise<void> {
    return fastPath?.(ctx) === true ? undefined : check(ctx, viewer);
  }

  function runFastPath(ctx: HttpContext, admit: Admit): boolean {
    const viewer = admit(ctx, rule);
    ctx.state.admission = { viewer };
    return !(viewer instanceof Promise) && fastPath?.(ctx) === true;
  }

  return {
    ...described,
    access,
    scope,
    ...(params === undefined ? {} : { params }),
    ...(query === undefined ? {} : { query }),
    ...(body === undefined ? {} : { body }),
    ...(fastPath === undefined ? {} : { runFastPath }),
    run: (ctx, admit) => {
      const { admission } = ctx.state;
      const viewer = admission === undefined ? admit(ctx, rule) : admission.viewer;
      // Waited for only where there is something to wait for: most requests are admitted from memory.
      return viewer instanceof Promise ? viewer.then((each) => serve(ctx, each)) : serve(ctx, viewer);
    },
  };
}

/**
 * Called by routes that take a body rather than mounted before all of them, as is usual: so a body is read only after its sender
 * was admitted, and from nobody who sends one where none is taken.
 */
const readJson = koaBody({
  json: true,
  jsonLimit: '1mb',
  // Any JSON: what is neither object nor list is for the schema to refuse.
  jsonStrict: false,
  jsonTypes: ['application/json'],
  text: false,
  urlencoded: false,
  multipart: false,
  // Routes say which of them takes a body, a deletion that needs a password among them.
  parsedMethods: [HttpMethodEnum.POST, HttpMethodEnum.PUT, HttpMethodEnum.PATCH, HttpMethodEnum.DELETE],
});

/**
 * Reads the request's JSON body, 1 MB at most. No body reads as `{}`, so that the answer names the fields that are missing.
 * @throws {AppError} 415 for anything that is not JSON; errors of the body reader (400, 413) pass through.
 */
async function readBody(ctx: ApiContext): Promise<unknown> {
  const type = ctx.is('application/json');
  if (type === null || ctx.req.headers['content-length'] === '0') return {};
  if (type === false) {
    throw new AppError('The request body must be application/json', {
      code: 'unsupported_media_type',
      status: 415,
    });
  }
  await readJson(ctx, () => Promise.resolve());
  const body: unknown = ctx.request.body;
  // Of a chunked body nobody knows beforehand that it is empty.
  return body === '' ? {} : body;
}

/** CoinGecko reads `ids[]=a&ids[]=b`, as some clients write lists, like `ids=a,b`. */
function withoutBrackets(query: ParsedUrlQuery): ParsedUrlQuery {
  const entries = Object.entries(query);
  const lists = entries
    .filter(([name]) => name.length > 2 && name.endsWith('[]'))
    .map(([name, values]) => [name.slice(0, -2), [values ?? []].flat().join(',')] as const);
  return { ...Object.fromEntries(lists), ...query };
}
