import type { z } from 'zod';
import type { Principal } from '../../domain/principal.ts';
import { AppError } from '../../domain/errors.ts';
import type { RouteScope } from '../../platform/http/access-rule.ts';
import type { ApiContext, HttpContext } from '../../platform/http/context.ts';
import { route, type Route, type RouteSpec } from '../../platform/http/route.ts';
import { v3Root } from '../../platform/http/v3-path.ts';

/** Bytes of path and query beyond which CoinGecko's edge answers 414. */
const longestUrl = 8_192;

/**
 * Makes a route of CoinGecko's contract, with everything that all of them share. It answers GET and HEAD, takes keys as
 * CoinGecko does, and refuses in CoinGecko's shapes. The handler answers with `respondV3`, and throws errors of
 * `errors.ts`.
 */
export function v3Route<P extends z.ZodType = z.ZodUndefined, Q extends z.ZodType = z.ZodUndefined>(spec: {
  /** Below `/api/v3`, with `:name` for parameters. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** The scope that an API key needs; `prices:read` if absent. */
  readonly scope?: RouteScope;
  readonly params?: P;
  /** A `z.object` of the parameters of `params.ts`. */
  readonly query?: Q;
  /** What answers other than 200, 404 and 503 mean, by status. */
  readonly responses?: Readonly<Record<number, string>>;
  /** See {@link route}. */
  readonly fastPath?: (ctx: HttpContext) => boolean;
  /** Unknown parameters are ignored, as CoinGecko does. */
  readonly handler: (
    ctx: ApiContext,
    input: { readonly params: z.output<P>; readonly query: z.output<Q>; readonly viewer: Principal },
  ) => void | Promise<void>;
}): Route {
  const { path, scope = 'prices:read', responses, fastPath, handler, ...described } = spec;
  const full: RouteSpec<'user', P, Q> = {
    ...described,
    method: 'GET',
    path: v3Root + path,
    access: 'user',
    scope,
    api: 'v3',
    tag: 'CoinGecko API v3',
    responses: {
      200: 'The response in the format of CoinGecko. The header X-Pricepool-State says whether it is fresh or stale, Age how old it is in seconds',
      ...responses,
      503: 'No usable data at the moment; retry after Retry-After seconds',
    },
    fastPath: (ctx) => {
      if ((ctx.req.url ?? '').length > longestUrl) {
        throw new AppError(`The URL is longer than ${longestUrl} bytes`, {
          code: 'uri_too_long',
          status: 414,
        });
      }
      return fastPath?.(ctx) ?? false;
    },
    handler: (ctx, { params, query, viewer }) => handler(ctx, { params, query, viewer }),
  };
  return route<'user', P, Q>(full);
}
