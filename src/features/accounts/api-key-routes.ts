import { validate as isUuid } from 'uuid';
import type { ApiKey } from './queries/api-keys.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { actorOf } from './actor.ts';
import { charge } from '../../platform/http/admission.ts';
import type { AppDeps } from '../../app-deps.ts';
import { answer } from '../../platform/http/envelope.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { keyBody, keyPath } from './api-key-schemas.ts';

type KeyDeps = Pick<AppDeps, 'apiKeys' | 'allowances' | 'clock'>;

/** Revoked keys leave rows behind. */
const makingPolicy = { name: 'keys-made', limit: 200, windowSeconds: 86_400 };

const tag = 'API keys';
const path = '/api/v1/api-keys';
const unavailable = 'The database is away; see Retry-After';
const dayMs = 86_400_000;

/** Making, listing and revoking API keys. Only people may: a key that makes keys would outlive its own revocation. */
export function apiKeyRoutes(deps: KeyDeps): Route[] {
  return [make(deps), list(deps), revoke(deps)];
}

function make({ apiKeys, allowances, clock }: KeyDeps): Route {
  return route({
    method: 'POST',
    path,
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Make an API key',
    description:
      'The key is in this answer and nowhere else. It is given as Authorization: Bearer or X-Api-Key.',
    body: keyBody,
    answers: {
      201: 'The key',
      403: 'Only admins may give the scope admin',
      409: 'You have as many keys as one may have',
      503: unavailable,
    },
    handler: async (ctx, { viewer, body }) => {
      const { name, scopes, expires_in_days: days, daily_quota: dailyQuota = null } = body;
      await charge(ctx, () => allowances.take(makingPolicy, viewer.userId));
      const expiresAt = days === undefined ? null : new Date(clock.now() + days * dayMs);
      const made = await apiKeys.make(viewer, { name, scopes, dailyQuota, expiresAt }, actorOf(ctx, viewer));
      ctx.set('Cache-Control', 'no-store');
      answer(ctx, {
        status: 201,
        message: 'Key made; it is shown this once',
        data: { ...presentKey(made), key: made.secret },
      });
    },
  });
}

function list({ apiKeys }: KeyDeps): Route {
  return route({
    method: 'GET',
    path,
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Your API keys, the newest first',
    answers: { 200: 'The keys, without their secrets', 503: unavailable },
    handler: async (ctx, { viewer }) => {
      const keys = await apiKeys.list(viewer);
      answer(ctx, { message: 'API keys', data: keys.map(presentKey) });
    },
  });
}

function revoke({ apiKeys }: KeyDeps): Route {
  return route({
    method: 'DELETE',
    path: `${path}/:id`,
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Revoke an API key',
    params: keyPath,
    answers: {
      200: 'The key is void',
      404: 'There is no such key, or it is somebody else’s',
      503: unavailable,
    },
    handler: async (ctx, { viewer, params: { id } }) => {
      if (!isUuid(id)) throw new NotFoundError('There is no such API key', 'key_not_found');
      await apiKeys.revoke(viewer, id, actorOf(ctx, viewer));
      answer(ctx, { message: 'Key revoked', data: { id } });
    },
  });
}

function presentKey(key: ApiKey): Record<string, unknown> {
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    scopes: key.scopes,
    daily_quota: key.dailyQuota,
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    last_used_at: key.lastUsedAt,
  };
}
