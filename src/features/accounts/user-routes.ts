import { ForbiddenError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import { actorOf } from './actor.ts';
import { charge } from '../../platform/http/admission.ts';
import { presentAccount } from './present-account.ts';
import { answer } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { newUserBody, removalBody, userChangesBody, userIdOf, userPath, usersQuery } from './user-schemas.ts';

type UserDeps = Pick<AppDeps, 'accounts' | 'allowances'>;

/** Nobody renames himself more often; and whoever tries out which names are taken gets no further. */
const changesPolicy = { name: 'account-changes', limit: 20, windowSeconds: 3_600 };

const tag = 'Users';
const forbidden = 'For admins only';
const missing = 'There is no such user, or it is not you';
const unavailable = 'The database is away or too many logins are waiting; see Retry-After';
const lastAdmin = 'Nobody else is an admin';

/** Accounts: one's own, and for admins everybody's. */
export function userRoutes(deps: UserDeps): Route[] {
  return [list(deps), create(deps), read(deps), change(deps), remove(deps)];
}

function list({ accounts: desk }: UserDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/users',
    access: 'admin',
    scope: 'admin',
    tag,
    summary: 'All users, the newest first',
    query: usersQuery,
    answers: { 200: 'A page of users', 403: forbidden, 503: unavailable },
    handler: async (ctx, { query: { page, limit } }) => {
      const { accounts, total } = await desk.page({ page, limit });
      answer(ctx, {
        message: 'Users',
        data: pageOf(accounts.map(presentAccount), { total, page, limit }),
      });
    },
  });
}

function create({ accounts: desk }: UserDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/users',
    access: 'admin',
    scope: 'admin',
    tag,
    summary: 'Create an account for somebody',
    body: newUserBody,
    answers: { 201: 'The user', 403: forbidden, 409: 'Username or e-mail is taken', 503: unavailable },
    handler: async (ctx, { body, viewer }) => {
      // Else a stolen key could make itself a person, and outlive its own revocation.
      if (body.role === 'admin' && viewer.keyId !== undefined)
        throw new ForbiddenError('API keys may not make admins: log in', 'session_required');
      const account = await desk.create(body, actorOf(ctx, viewer));
      answer(ctx, { status: 201, message: 'Account created', data: presentAccount(account) });
    },
  });
}

function read({ accounts: desk }: UserDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/users/:id',
    access: 'user',
    scope: 'session',
    tag,
    summary: 'One user: yourself, or for admins anybody',
    params: userPath,
    answers: { 200: 'The user', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const account = await desk.get({ id: userIdOf(params, viewer), viewer });
      answer(ctx, { message: 'User', data: presentAccount(account) });
    },
  });
}

function change({ accounts: desk, allowances }: UserDeps): Route {
  return route({
    method: 'PUT',
    path: '/api/v1/users/:id',
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Change a user: yourself, or for admins anybody',
    description:
      'What is absent stays. Roles are for admins to change; another role ends all sessions of the user. ' +
      'Another e-mail of your own needs your password.',
    params: userPath,
    body: userChangesBody,
    answers: {
      200: 'The user as it is now',
      403: 'Only admins change roles, or the current password is wrong',
      404: missing,
      409: `Username or e-mail is taken. ${lastAdmin}`,
      503: unavailable,
    },
    handler: async (ctx, { params, body, viewer }) => {
      const { current_password: currentPassword, ...changes } = body;
      const id = userIdOf(params, viewer);
      const by = actorOf(ctx, viewer);
      if (viewer.role !== 'admin') await charge(ctx, () => allowances.take(changesPolicy, viewer.userId));
      const account = await desk.update({ id, viewer, changes, currentPassword, by });
      answer(ctx, { message: 'User changed', data: presentAccount(account) });
    },
  });
}

function remove({ accounts: desk }: UserDeps): Route {
  return route({
    method: 'DELETE',
    path: '/api/v1/users/:id',
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Delete a user: yourself, or for admins anybody',
    description:
      'Sessions and API keys end at once. Username and e-mail stay taken for a while. Your own account needs your password.',
    params: userPath,
    body: removalBody,
    answers: {
      200: 'Its id, and when it was deleted',
      403: 'The current password is wrong',
      404: missing,
      409: lastAdmin,
      503: unavailable,
    },
    handler: async (ctx, { params, body: { current_password: currentPassword }, viewer }) => {
      const id = userIdOf(params, viewer);
      const deletedAt = await desk.remove({ id, viewer, currentPassword, by: actorOf(ctx, viewer) });
      answer(ctx, { message: 'Account deleted', data: { id, deleted_at: deletedAt } });
    },
  });
}
