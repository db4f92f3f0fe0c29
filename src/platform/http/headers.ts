import type { Next } from 'koa';
import type { Config } from '../config/load-config.ts';
import type { ApiContext } from './context.ts';
import { isV3 } from './v3-path.ts';

const exposed =
  'X-Request-Id, Location, ETag, Retry-After, Preference-Applied, RateLimit, RateLimit-Policy, X-Pricepool-State, Age';
const allowedHeaders =
  'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Api-Key, X-Request-Id';
const allowedMethods = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const localOrigin = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/;

/** Builds the check whether pages of an origin may call: configured origins, and in development any of this machine. */
export function createOriginCheck({
  APP_ENV,
  CORS_ORIGINS,
}: Pick<Config, 'APP_ENV' | 'CORS_ORIGINS'>): (origin: string) => boolean {
  const configured = new Set(CORS_ORIGINS);
  return (origin) =>
    configured.has(origin) || configured.has('*') || (APP_ENV === 'development' && localOrigin.test(origin));
}

/**
 * Lets browsers call from the configured origins, and in development from any port of this machine. Other origins get no CORS
 * header at all. Answers preflight requests.
 */
export function cors(config: Pick<Config, 'APP_ENV' | 'CORS_ORIGINS'>) {
  const isAllowed = createOriginCheck(config);

  return (ctx: ApiContext, next: Next): Promise<unknown> => {
    const { origin } = ctx.req.headers;
    if (origin === undefined) return next();
    if (isV3(ctx.state.path)) return v3Cors(ctx, next);
    ctx.vary('Origin');
    if (!isAllowed(origin)) return next();
    ctx.set('Access-Control-Allow-Origin', origin);
    ctx.set('Access-Control-Expose-Headers', exposed);
    if (ctx.method !== 'OPTIONS' || ctx.req.headers['access-control-request-method'] === undefined)
      return next();
    ctx.set('Access-Control-Allow-Methods', allowedMethods);
    ctx.set('Access-Control-Allow-Headers', allowedHeaders);
    ctx.set('Access-Control-Max-Age', '600');
    ctx.status = 204;
    return Promise.resolve();
  };
}

const headerNames = /^[\w-]{1,64}(, ?[\w-]{1,64}){0,31}$/;

/**
 * CoinGecko lets pages of any origin call, and so does its contract here: a page has no more than the key that it brings
 * itself. The SDK sends headers of its own, so those that are asked for are allowed.
 */
function v3Cors(ctx: ApiContext, next: Next): Promise<unknown> {
  const { 'access-control-request-method': method, 'access-control-request-headers': requested } =
    ctx.req.headers;
  if (ctx.method !== 'OPTIONS' || method === undefined) return next();
  ctx.set('Access-Control-Allow-Origin', '*');
  ctx.set('Access-Control-Allow-Methods', 'GET, HEAD');
  if (requested !== undefined && headerNames.test(requested))
    ctx.set('Access-Control-Allow-Headers', requested);
  ctx.set('Access-Control-Max-Age', '600');
  ctx.vary('Access-Control-Request-Headers');
  ctx.status = 204;
  return Promise.resolve();
}
