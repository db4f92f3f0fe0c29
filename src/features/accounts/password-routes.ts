import { actorOf } from './actor.ts';
import type { AppDeps } from '../../app-deps.ts';
import { answer } from '../../platform/http/envelope.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { forgotBody, passwordChangeBody, resetBody } from './password-schemas.ts';

type PasswordDeps = Pick<AppDeps, 'passwordDesk'>;

const tag = 'Accounts';
const unavailable = 'The database is away or too many passwords wait to be hashed; see Retry-After';

/** Changing a password, and resetting a forgotten one. */
export function passwordRoutes(deps: PasswordDeps): Route[] {
  return [change(deps), forgot(deps), reset(deps)];
}

function change({ passwordDesk }: PasswordDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/password',
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Change your password',
    description: 'Ends every session of yours, this one too; API keys stay.',
    body: passwordChangeBody,
    answers: {
      200: 'Changed; log in again',
      403: 'The current password is wrong',
      503: unavailable,
    },
    handler: async (ctx, { viewer, body: { current_password: currentPassword, password } }) => {
      const by = actorOf(ctx, viewer);
      await passwordDesk.change({ userId: viewer.userId, currentPassword, password, by });
      answer(ctx, { message: 'Password changed; every session has ended, so log in again', data: null });
    },
  });
}

function forgot({ passwordDesk }: PasswordDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/password/forgot',
    access: 'open',
    tag,
    summary: 'Have a reset token mailed',
    description: 'The answer is the same whether or not there is an account with this e-mail.',
    body: forgotBody,
    answers: {
      202: 'If there is an account with this e-mail, a mail is on its way',
      501: 'This server sends no mail; its operator can make a reset token',
      503: 'The queue is away; see Retry-After',
    },
    handler: async (ctx, { body: { email } }) => {
      await passwordDesk.requestReset({ email, by: actorOf(ctx) });
      const message = 'If there is an account with this e-mail, a mail is on its way';
      answer(ctx, { status: 202, message, data: null });
    },
  });
}

function reset({ passwordDesk }: PasswordDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/auth/password/reset',
    access: 'open',
    tag,
    summary: 'Set a new password with a reset token',
    description: 'The token can be used once. Every session of the account ends; API keys stay.',
    body: resetBody,
    answers: {
      200: 'The password is set; log in with it',
      401: 'The token is unknown, used or expired',
      503: unavailable,
    },
    handler: async (ctx, { body: { token, password } }) => {
      await passwordDesk.reset({ token, password, by: actorOf(ctx) });
      answer(ctx, { message: 'Password set; log in with it', data: null });
    },
  });
}
