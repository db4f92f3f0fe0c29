import type { SessionGrant } from './sessions.ts';
import { ForbiddenError } from '../../domain/errors.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import { actorOf } from './actor.ts';
import { charge } from '../../platform/http/admission.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { AppDeps } from '../../app-deps.ts';
import { answer } from '../../platform/http/envelope.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { loginBody, refreshBody, registerBody } from './account-schemas.ts';

type AuthDeps = Pick<
  AppDeps,
  'users' | 'passwords' | 'login' | 'sessions' | 'tokens' | 'allowances' | 'config'
>;

const tag = 'Accounts';
const unavailable = 'The database is away or too many logins are waiting; see Retry-After';
const throttled = 'Too many attempts; see Retry-After';

/** Registering, logging in and out, and what comes of a login. */
export function authRoutes(deps: AuthDeps): Route[] {
  return [register(deps), login(deps), refresh(deps), logout(deps), logoutEverywhere(deps), ticket(deps)];
}

function register({ users, passwords, allowances, config }: AuthDeps): Route {
  const policy = { name: 'registration', limit: config.REGISTRATIONS_PER_HOUR, windowSeconds: 3600 };
  return route({
    method: 'POST',
    path: '/api/v1/auth/register',
    access: 'open',
    tag,
    summary: 'Create an account',
    body: registerBody,
    answers: {
      201: 'The account',
      403: 'This deployment is closed to strangers',
      409: 'Username or e-mail is taken; which of the two is not said',
      429: throttled,
      503: unavailable,
    },
    handler: async (ctx, { body: { username, email, password } }) => {
      if (config.REGISTRATION === 'closed')
        throw new ForbiddenError('Accounts are made by an admin here', 'registration_closed');
      const { address } = ctx.state;
      await charge(ctx, () => allowances.take(policy, limitSubjectOf(address)));
      const passwordHash = await passwords.hash(password, address);
      const { id } = await users.insert({ username, email, passwordHash, role: 'user' }, actorOf(ctx));
      answer(ctx, { status: 201, message: 'Account created', data: { id, username, email } });
    },
  });
}

function login(deps: AuthDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/login',
    access: 'open',
    allowance: 'login',
    tag,
    summary: 'Get an access token and a refresh token',
    body: loginBody,
    answers: {
      200: 'The tokens, and whose they are',
      401: 'E-mail or password is wrong',
      429: throttled,
      503: unavailable,
    },
    handler: async (ctx, { body: { email, password } }) => {
      answerGrant(ctx, 'Logged in', await deps.login({ email, password, by: actorOf(ctx) }));
    },
  });
}

function refresh({ sessions }: AuthDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/refresh',
    access: 'open',
    allowance: 'refresh',
    tag,
    summary: 'Trade a refresh token for new tokens',
    description: 'Each refresh token is good for one use. Using one again ends its session.',
    body: refreshBody,
    answers: {
      200: 'New tokens; the old refresh token is void',
      401: 'The refresh token is not valid, has expired or was used before',
      503: unavailable,
    },
    handler: async (ctx, { body }) => {
      answerGrant(ctx, 'Refreshed', await sessions.refresh(body.refresh_token, actorOf(ctx)));
    },
  });
}

function logout({ sessions }: AuthDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/logout',
    access: 'user',
    scope: 'session',
    tag,
    summary: 'End this session',
    answers: { 200: 'Its tokens are void', 503: unavailable },
    handler: async (ctx, { viewer }) => {
      const { sessionId, userId } = viewer;
      if (sessionId !== undefined) await sessions.end({ id: sessionId, userId, by: actorOf(ctx, viewer) });
      answer(ctx, { message: 'Logged out', data: null });
    },
  });
}

function logoutEverywhere({ sessions }: AuthDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/logout-everywhere',
    access: 'user',
    scope: 'session',
    tag,
    summary: 'End all of your sessions',
    description: 'API keys stay; they are revoked one by one.',
    answers: { 200: 'All tokens are void', 503: unavailable },
    handler: async (ctx, { viewer }) => {
      await sessions.endAll({ userId: viewer.userId, by: actorOf(ctx, viewer) });
      answer(ctx, { message: 'Logged out everywhere', data: null });
    },
  });
}

function ticket({ tokens }: AuthDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/stream-ticket',
    access: 'user',
    scope: 'any',
    tag,
    summary: 'Get a ticket for streams',
    description:
      'For clients that cannot send headers: given as ?ticket= it opens streams, any number of them until it expires. It ends with what it was made with.',
    answers: { 200: 'The ticket, and its life in seconds' },
    handler: (ctx, { viewer }) => {
      ctx.set('Cache-Control', 'no-store');
      const data = { ticket: tokens.issueTicket(viewer), expires_in: tokens.ticketExpiresInSeconds };
      answer(ctx, { message: 'Ticket', data });
    },
  });
}

function answerGrant(ctx: ApiContext, message: string, grant: SessionGrant): void {
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
