import { createHash, timingSafeEqual } from 'node:crypto';
import { ForbiddenError, UnauthenticatedError } from '../../domain/errors.ts';
import { settings as known, type SettingName, type SettingValues } from '../../platform/config/settings.ts';
import { bearerOf } from '../../platform/http/admission.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import { answer, respondJson } from '../../platform/http/envelope.ts';
import { route, type Route } from '../../platform/http/route.ts';
import type { HealthChecks } from '../../platform/observability/health.ts';
import type { Metrics } from '../../platform/observability/metrics-registry.ts';
import type { Platform } from '../../platform/platform.ts';

/** What admins and operators look at: settings, health and metrics. */
export function adminRoutes(
  { config }: Pick<Platform, 'config'>,
  { health, metrics }: { readonly health: HealthChecks; readonly metrics: Metrics },
): Route[] {
  const tag = 'Operation';
  const settings = route({
    method: 'GET',
    path: '/api/v1/admin/config',
    access: 'admin',
    scope: 'admin',
    tag: 'Administration',
    summary: 'Get the settings of the process that responds, without secrets',
    responses: { 200: 'Every setting with its value, in the order of .env.example' },
    handler: (ctx) => answer(ctx, { message: 'Settings', data: presentSettings(config) }),
  });

  const live = route({
    method: 'GET',
    path: '/health/live',
    access: 'open',
    unlimited: true,
    tag,
    summary: 'Check that the process runs',
    responses: { 200: 'The process runs' },
    handler: (ctx) => answer(ctx, { message: 'Live', data: { status: 'live' } }),
  });

  const ready = (path: string): Route =>
    route({
      method: 'GET',
      path,
      access: 'open',
      unlimited: true,
      tag,
      summary: 'Check that the process can serve requests (Postgres, Redis and the call budget)',
      responses: {
        200: 'The process can serve requests',
        503: 'The process cannot serve requests; the checks say why',
      },
      handler: async (ctx) => respondReadiness(ctx, health),
    });

  const scrape = route({
    method: 'GET',
    path: '/metrics',
    access: 'open',
    unlimited: true,
    tag,
    summary: 'Get metrics for Prometheus',
    description:
      'If the server has the setting METRICS_TOKEN, send its value as Authorization: Bearer. Otherwise only programs on the same machine (loopback addresses) may read the metrics.',
    produces: 'text/plain',
    responses: {
      200: 'Metrics of this process',
      401: 'The METRICS_TOKEN is missing or wrong',
      403: 'The server has no METRICS_TOKEN, and the request does not come from the same machine',
    },
    handler: async (ctx) => {
      admitScraper(ctx, config.METRICS_TOKEN);
      const text = await metrics.text();
      ctx.set('Content-Type', metrics.contentType);
      ctx.body = text;
    },
  });

  return [settings, live, ready('/health/ready'), ready('/health'), scrape];
}

async function respondReadiness(ctx: ApiContext, health: HealthChecks): Promise<void> {
  const { ok, checks } = await health.ready();
  ctx.set('Cache-Control', 'no-store');
  if (ok) {
    answer(ctx, { message: 'Ready', data: { status: 'ready', checks } });
    return;
  }
  const failing = Object.entries(checks).filter(([, check]) => !check.ok);
  const detail = failing.map(([name, check]) => `${name}: ${check.detail ?? 'failed'}`).join('; ');
  ctx.set('Retry-After', '1');
  const error = { code: 'not_ready', detail };
  const data = { status: 'not_ready', checks };
  respondJson(
    ctx,
    503,
    JSON.stringify({ success: false, message: 'Not ready', error, data, request_id: ctx.state.requestId }),
  );
}

function admitScraper(ctx: ApiContext, token: string | undefined): void {
  if (token !== undefined) {
    if (!isSame(bearerOf(ctx.req.headers.authorization) ?? '', token))
      throw new UnauthenticatedError('Send the METRICS_TOKEN of this server as Authorization: Bearer');
    return;
  }
  const { remoteAddress = '' } = ctx.req.socket;
  // Behind a proxy on this machine everybody comes from loopback: what was forwarded is not local.
  const forwarded = ctx.req.headers['x-forwarded-for'] ?? ctx.req.headers['forwarded'];
  const isLoopback = /^(::1|(::ffff:)?127\.)/.test(remoteAddress);
  if (!isLoopback || forwarded !== undefined)
    throw new ForbiddenError(
      'From this address, metrics can be read only with a METRICS_TOKEN, and the server has none',
    );
}

function isSame(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

const redacted = '[redacted]';

/** Every setting with its value, as an admin may see it. */
function presentSettings(values: SettingValues): readonly Record<string, unknown>[] {
  return (Object.keys(known) as SettingName[]).map((name) => {
    const { description, defaultText, sensitive } = known[name];
    const value = shown(values[name], sensitive);
    return { name, value, default: defaultText ?? null, sensitive, description };
  });
}

/** Not a word of a secret, nor of a password that somebody wrote into a URL. */
function shown(value: unknown, sensitive: boolean): unknown {
  if (value === undefined) return null;
  if (sensitive) return redacted;
  if (typeof value !== 'string' || !/^[a-z][a-z\d+.-]*:\/\/[^/?#]*@/i.test(value)) return value;
  return value.replace(/\/\/[^/?#]*@/, `//${redacted}@`);
}
