import { validate as isUuid } from 'uuid';
import { ForbiddenError, NotFoundError } from '../../domain/errors.ts';
import { charge } from '../../platform/http/admission.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import { answer } from '../../platform/http/envelope.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';
import type { Platform } from '../../platform/platform.ts';
import type { AccountService } from './account-service.ts';
import { actorOf } from './actor.ts';
import type { ApiKey } from './queries/api-keys.ts';
import type { UsageCounts } from './queries/usage.ts';
import type { Account } from './queries/users.ts';
import {
  allUsageQuery,
  auditQuery,
  forgotBody,
  keyBody,
  keyPath,
  loginBody,
  newUserBody,
  passwordChangeBody,
  refreshBody,
  registerBody,
  removalBody,
  resetBody,
  usageQuery,
  userChangesBody,
  userIdOf,
  userPath,
  usersQuery,
} from './schemas.ts';
import type { SessionGrant } from './sessions.ts';

/** Limits how often users rename themselves, and how fast anyone can test which names are taken. */
const changesPolicy = { name: 'account-changes', limit: 20, windowSeconds: 3_600 };
/** Revoked keys leave rows behind. */
const makingPolicy = { name: 'keys-made', limit: 200, windowSeconds: 86_400 };

const unavailable = 'Database unavailable; retry after Retry-After seconds';
const loginsBusy = 'Database unavailable, or too many logins at the moment; retry after Retry-After seconds';
const hashesBusy =
  'Database unavailable, or too many password checks at the moment; retry after Retry-After seconds';
const throttled = 'Too many attempts; retry after Retry-After seconds';
const missing = 'User not found';
const lastAdmin = 'The user is the last admin';
const dayMs = 86_400_000;

/** Registering, logging in, accounts, API keys, usage and the audit log over HTTP. */
export function accountRoutes(
  platform: Pick<Platform, 'config' | 'clock'>,
  service: AccountService,
): readonly Route[] {
  return [
    ...sessionRoutes(platform, service),
    ...passwordRoutes(service),
    ...userRoutes(service),
    ...apiKeyRoutes(platform, service),
    ...recordRoutes(platform, service),
  ];
}

/** Registering, logging in and out, and what comes of a login. */
function sessionRoutes(
  { config }: Pick<Platform, 'config'>,
  { accounts, sessions, tokens, allowances }: AccountService,
): Route[] {
  const tag = 'Accounts';
  const registrations = {
    name: 'registration',
    limit: config.REGISTRATIONS_PER_HOUR,
    windowSeconds: 3600,
  };
  return [
    route({
      method: 'POST',
      path: '/api/v1/auth/register',
      access: 'open',
      tag,
      summary: 'Create an account',
      body: registerBody,
      responses: {
        201: 'The account; log in to get a token',
        403: 'Registration is closed on this server: only admins create accounts',
        409: 'Username or e-mail is taken; the response does not say which',
        429: throttled,
        503: loginsBusy,
      },
      handler: async (ctx, { body: { username, email, password } }) => {
        if (config.REGISTRATION === 'closed')
          throw new ForbiddenError(
            'Registration is closed: only admins create accounts',
            'registration_closed',
          );
        await charge(ctx, () => allowances.take(registrations, limitSubjectOf(ctx.state.address)));
        const { id } = await accounts.create({ username, email, password, role: 'user' }, actorOf(ctx));
        answer(ctx, { status: 201, message: 'Account created', data: { id, username, email } });
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/login',
      access: 'open',
      allowance: 'login',
      tag,
      summary: 'Log in: get an access token and a refresh token',
      body: loginBody,
      responses: {
        200: 'The tokens and their user',
        401: 'E-mail or password is wrong',
        429: throttled,
        503: loginsBusy,
      },
      handler: async (ctx, { body: { email, password } }) => {
        respondGrant(ctx, 'Logged in', await sessions.login({ email, password, by: actorOf(ctx) }));
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/refresh',
      access: 'open',
      allowance: 'refresh',
      tag,
      summary: 'Exchange a refresh token for new tokens',
      description:
        'Each refresh token has one successor. For 30 s after its first use, and while the successor is unused, using it again returns the same successor and a new access token, so a lost response or a second tab does not end the session. Using it later, or after its successor was used, ends the session.',
      body: refreshBody,
      responses: {
        200: 'A new access token, and the successor of the refresh token',
        401: 'The refresh token is not valid, has expired or was used before',
        503: 'Database unavailable, or the refresh token was used a moment ago by another server process; retry after Retry-After seconds',
      },
      handler: async (ctx, { body }) => {
        respondGrant(ctx, 'Refreshed', await sessions.refresh(body.refresh_token, actorOf(ctx)));
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/logout',
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Log out: end this session',
      responses: { 200: 'The session has ended; its tokens are no longer valid', 503: unavailable },
      handler: async (ctx, { viewer }) => {
        const { sessionId, userId } = viewer;
        if (sessionId !== undefined) await sessions.end({ id: sessionId, userId, by: actorOf(ctx, viewer) });
        answer(ctx, { message: 'Logged out', data: null });
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/logout-everywhere',
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Log out everywhere: end all your sessions',
      description: 'API keys stay valid; revoke them one by one.',
      responses: { 200: 'All sessions have ended; their tokens are no longer valid', 503: unavailable },
      handler: async (ctx, { viewer }) => {
        await sessions.endAll({ userId: viewer.userId, by: actorOf(ctx, viewer) });
        answer(ctx, { message: 'Logged out everywhere', data: null });
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/stream-ticket',
      access: 'user',
      scope: 'any',
      tag,
      summary: 'Get a ticket for streams',
      description:
        'For clients that cannot send headers: add ?ticket= to the URL of a stream or WebSocket. A ticket opens any number of streams until it expires, and ends early with the session or API key that created it.',
      responses: { 200: 'The ticket, and its lifetime in seconds' },
      handler: (ctx, { viewer }) => {
        ctx.set('Cache-Control', 'no-store');
        const data = { ticket: tokens.issueTicket(viewer), expires_in: tokens.ticketExpiresInSeconds };
        answer(ctx, { message: 'Ticket', data });
      },
    }),
  ];
}

/** Changing a password, and resetting a forgotten one. */
function passwordRoutes({ accounts }: AccountService): Route[] {
  const tag = 'Accounts';
  return [
    route({
      method: 'POST',
      path: '/api/v1/auth/password',
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Change your password',
      description: 'Ends all your sessions, including this one; API keys stay valid.',
      body: passwordChangeBody,
      responses: {
        200: 'Changed; log in again',
        403: 'current_password is wrong',
        503: hashesBusy,
      },
      handler: async (ctx, { viewer, body: { current_password: currentPassword, password } }) => {
        const by = actorOf(ctx, viewer);
        await accounts.changePassword({ userId: viewer.userId, currentPassword, password, by });
        answer(ctx, { message: 'Password changed; every session has ended, so log in again', data: null });
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/password/forgot',
      access: 'open',
      tag,
      summary: 'Request a reset token by mail',
      description: 'The response is the same whether or not an account has this e-mail.',
      body: forgotBody,
      responses: {
        202: 'If an account has this e-mail, a mail with a reset token is on its way',
        501: 'This server sends no mail; ask its operator for a reset token',
        503: 'The mail cannot be sent at the moment; retry after Retry-After seconds',
      },
      handler: async (ctx, { body: { email } }) => {
        await accounts.requestReset({ email, by: actorOf(ctx) });
        const message = 'If an account has this e-mail, a mail with a reset token is on its way';
        answer(ctx, { status: 202, message, data: null });
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/auth/password/reset',
      access: 'open',
      tag,
      summary: 'Set a new password with a reset token',
      description: 'The token can be used once. All sessions of the account end; API keys stay valid.',
      body: resetBody,
      responses: {
        200: 'The password is set; log in with it',
        401: 'The token is unknown, used or expired',
        503: hashesBusy,
      },
      handler: async (ctx, { body: { token, password } }) => {
        await accounts.reset({ token, password, by: actorOf(ctx) });
        answer(ctx, { message: 'Password set; log in with it', data: null });
      },
    }),
  ];
}

/** Accounts: one's own, and for admins everybody's. */
function userRoutes({ accounts, allowances }: AccountService): Route[] {
  const tag = 'Users';
  return [
    route({
      method: 'GET',
      path: '/api/v1/users',
      access: 'admin',
      scope: 'admin',
      tag,
      summary: 'List users, newest first',
      query: usersQuery,
      responses: { 200: 'A page of users', 503: unavailable },
      handler: async (ctx, { query: { page, limit } }) => {
        const { accounts: found, total } = await accounts.page({ page, limit });
        answer(ctx, {
          message: 'Users',
          data: pageOf(found.map(presentAccount), { total, page, limit }),
        });
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/users',
      access: 'admin',
      scope: 'admin',
      tag,
      summary: 'Create an account for another user',
      body: newUserBody,
      responses: { 201: 'The user', 409: 'Username or e-mail is taken', 503: loginsBusy },
      handler: async (ctx, { body, viewer }) => {
        // Else a stolen key could make itself a person, and outlive its own revocation.
        if (body.role === 'admin' && viewer.keyId !== undefined)
          throw new ForbiddenError('API keys cannot create admins; log in', 'session_required');
        const account = await accounts.create(body, actorOf(ctx, viewer));
        answer(ctx, { status: 201, message: 'Account created', data: presentAccount(account) });
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/users/:id',
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Get a user: yourself, or anyone as an admin',
      params: userPath,
      responses: { 200: 'The user', 404: missing, 503: unavailable },
      handler: async (ctx, { params, viewer }) => {
        const account = await accounts.get({ id: userIdOf(params, viewer), viewer });
        answer(ctx, { message: 'User', data: presentAccount(account) });
      },
    }),
    route({
      method: 'PUT',
      path: '/api/v1/users/:id',
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Change a user: yourself, or anyone as an admin',
      description:
        'Omitted fields keep their value. Only admins can change roles; changing a role ends all sessions of the user. ' +
        'Changing your own e-mail requires your password.',
      params: userPath,
      body: userChangesBody,
      responses: {
        200: 'The updated user',
        403: 'Only admins can change roles, or current_password is wrong',
        404: missing,
        409: 'Username or e-mail is taken, or the user is the last admin',
        503: loginsBusy,
      },
      handler: async (ctx, { params, body, viewer }) => {
        const { current_password: currentPassword, ...changes } = body;
        const id = userIdOf(params, viewer);
        const by = actorOf(ctx, viewer);
        if (viewer.role !== 'admin') await charge(ctx, () => allowances.take(changesPolicy, viewer.userId));
        const account = await accounts.update({ id, viewer, changes, currentPassword, by });
        answer(ctx, { message: 'User changed', data: presentAccount(account) });
      },
    }),
    route({
      method: 'DELETE',
      path: '/api/v1/users/:id',
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Delete a user: yourself, or anyone as an admin',
      description:
        'Sessions and API keys end at once. Username and e-mail stay reserved for some time. Deleting your own account requires your password.',
      params: userPath,
      body: removalBody,
      responses: {
        200: 'The id, and when the user was deleted',
        403: 'current_password is wrong',
        404: missing,
        409: lastAdmin,
        503: loginsBusy,
      },
      handler: async (ctx, { params, body: { current_password: currentPassword }, viewer }) => {
        const id = userIdOf(params, viewer);
        const deletedAt = await accounts.remove({ id, viewer, currentPassword, by: actorOf(ctx, viewer) });
        answer(ctx, { message: 'Account deleted', data: { id, deleted_at: deletedAt } });
      },
    }),
  ];
}

/** Making, listing and revoking API keys. Only people may: a key that makes keys would outlive its own revocation. */
function apiKeyRoutes({ clock }: Pick<Platform, 'clock'>, { apiKeys, allowances }: AccountService): Route[] {
  const tag = 'API keys';
  const path = '/api/v1/api-keys';
  return [
    route({
      method: 'POST',
      path,
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Create an API key',
      description: 'The key is shown only in this response. Send it as Authorization: Bearer or X-Api-Key.',
      body: keyBody,
      responses: {
        201: 'The key',
        403: 'Only admins can give the scope admin',
        409: 'You have reached the limit of API keys',
        503: unavailable,
      },
      handler: async (ctx, { viewer, body }) => {
        const { name, scopes, expires_in_days: days, daily_quota: dailyQuota = null } = body;
        await charge(ctx, () => allowances.take(makingPolicy, viewer.userId));
        const expiresAt = days === undefined ? null : new Date(clock.now() + days * dayMs);
        const made = await apiKeys.make(
          viewer,
          { name, scopes, dailyQuota, expiresAt },
          actorOf(ctx, viewer),
        );
        ctx.set('Cache-Control', 'no-store');
        answer(ctx, {
          status: 201,
          message: 'Key created; it is shown only once',
          data: { ...presentKey(made), key: made.secret },
        });
      },
    }),
    route({
      method: 'GET',
      path,
      access: 'user',
      scope: 'session',
      tag,
      summary: 'List your API keys, newest first',
      responses: { 200: 'The keys, without their secrets', 503: unavailable },
      handler: async (ctx, { viewer }) => {
        const keys = await apiKeys.list(viewer);
        answer(ctx, { message: 'API keys', data: keys.map(presentKey) });
      },
    }),
    route({
      method: 'DELETE',
      path: `${path}/:id`,
      access: 'user',
      scope: 'session',
      tag,
      summary: 'Revoke an API key',
      params: keyPath,
      responses: {
        200: 'The key is no longer valid',
        404: 'API key not found',
        503: unavailable,
      },
      handler: async (ctx, { viewer, params: { id } }) => {
        if (!isUuid(id)) throw new NotFoundError('API key not found', 'key_not_found');
        await apiKeys.revoke(viewer, id, actorOf(ctx, viewer));
        answer(ctx, { message: 'Key revoked', data: { id } });
      },
    }),
  ];
}

/** What `upstream_calls` are, in the description of routes that show usage. */
const whatCounts =
  'A call to the price source is divided among those who asked first for the coins it fetched, so upstream_calls can be a ' +
  'fraction. Counts appear within a few seconds.';

/** Usage, one's own and for admins everybody's, and the audit log. */
function recordRoutes({ clock }: Pick<Platform, 'clock'>, { usageReports, audit }: AccountService): Route[] {
  const tag = 'Administration';
  return [
    route({
      method: 'GET',
      path: '/api/v1/usage',
      access: 'user',
      scope: 'session',
      tag: 'Users',
      summary: 'Get your requests, jobs and upstream calls by day and API key',
      description: `The last 30 days by default, at most 366. ${whatCounts}`,
      query: usageQuery(clock),
      responses: { 200: 'Days, newest first, and their totals', 503: unavailable },
      handler: async (ctx, { query, viewer: { userId } }) => {
        const { days, totals } = await usageReports.ofUser({ userId, ...query });
        const shown = days.map((each) => ({ day: each.day, key_id: each.keyId, ...presentCounts(each) }));
        const data = { ...query, days: shown, totals: presentCounts(totals) };
        answer(ctx, { message: 'Usage', data });
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/admin/audit',
      access: 'admin',
      scope: 'admin',
      tag,
      summary: 'List security events, newest first',
      query: auditQuery,
      responses: { 200: 'A page of events', 503: unavailable },
      handler: async (ctx, { query: { page, limit, type, user } }) => {
        const offset = (page - 1) * limit;
        const { events: found, total } = await audit.list({ type, userId: user, offset, limit });
        const shown = found.map((event) => ({
          id: event.id,
          at: event.at,
          type: event.type,
          user_id: event.userId,
          actor_id: event.actorId,
          key_id: event.keyId,
          address: event.address,
          request_id: event.requestId,
          detail: event.detail,
        }));
        answer(ctx, {
          message: 'Audit log',
          data: pageOf(shown, { total, page, limit }),
        });
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/admin/usage',
      access: 'admin',
      scope: 'admin',
      tag,
      summary: 'List requests, jobs and upstream calls by user and API key, most upstream calls first',
      description: `Totals of the last 30 days by default, at most 366. ${whatCounts}`,
      query: allUsageQuery(clock),
      responses: { 200: 'A page of users and keys', 503: unavailable },
      handler: async (ctx, { query: { page, limit, ...range } }) => {
        const offset = (page - 1) * limit;
        const { usage, total } = await usageReports.all({ ...range, offset, limit });
        const shown = usage.map((each) => ({
          user_id: each.userId,
          username: each.username,
          key_id: each.keyId,
          key_prefix: each.keyPrefix,
          ...presentCounts(each),
        }));
        const data = { ...range, ...pageOf(shown, { total, page, limit }) };
        answer(ctx, { message: 'Usage', data });
      },
    }),
  ];
}

function respondGrant(ctx: ApiContext, message: string, grant: SessionGrant): void {
  const { token, refreshToken, expiresInSeconds, user } = grant;
  const { id, username, email, role } = user;
  ctx.set('Cache-Control', 'no-store');
  const data = {
    token,
    refresh_token: refreshToken,
    expires_in: expiresInSeconds,
    user: { id, username, email, role },
  };
  answer(ctx, { message, data });
}

/** An account as its owner and admins see it. */
function presentAccount({ id, username, email, role, createdAt }: Account): Record<string, unknown> {
  return { id, username, email, role, created_at: createdAt };
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

/** Counts as clients see them. */
function presentCounts({ requests, jobs, upstreamCalls }: UsageCounts): Record<string, number> {
  return { requests, jobs, upstream_calls: upstreamCalls };
}
