import type { AppDeps } from '../deps.ts';
import { UnauthenticatedError } from '../../lib/errors.ts';
import { answer } from '../present/envelope.ts';
import { route, type Route } from '../route.ts';
import { loginBody, registerBody } from '../schemas/accounts.ts';

const unavailable = 'The database is away or too many logins are waiting; see Retry-After';

type AccountDeps = Pick<AppDeps, 'users' | 'passwords' | 'tokens'>;

/** Register and login. */
export function authRoutes({ users, passwords, tokens }: AccountDeps): Route[] {
  const register = route({
    method: 'POST',
    path: '/api/v1/auth/register',
    access: 'open',
    tag: 'Accounts',
    summary: 'Create an account',
    body: registerBody,
    answers: {
      201: 'The account',
      409: 'Username or e-mail is taken; which of the two is not said',
      503: unavailable,
    },
    handler: async (ctx, { body: { username, email, password } }) => {
      const passwordHash = await passwords.hash(password);
      const { id } = await users.insert({ username, email, passwordHash, role: 'user' });
      answer(ctx, { status: 201, message: 'Account created', data: { id, username, email } });
    },
  });

  const login = route({
    method: 'POST',
    path: '/api/v1/auth/login',
    access: 'open',
    tag: 'Accounts',
    summary: 'Get an access token',
    body: loginBody,
    answers: {
      200: 'An access token, and whose it is',
      401: 'E-mail or password is wrong',
      503: unavailable,
    },
    handler: async (ctx, { body: { email, password } }) => {
      const account = await users.findByEmail(email);
      // Compared even when there is no account, so that the time taken does not tell which e-mails have one.
      const matches = await passwords.matches(password, account?.passwordHash);
      if (account === undefined || !matches)
        throw new UnauthenticatedError('E-mail or password is wrong', 'login_failed');
      const { id, username, role } = account;
      ctx.set('Cache-Control', 'no-store');
      const data = {
        token: tokens.issue({ id, role }),
        expires_in: tokens.expiresInSeconds,
        user: { id, username, email: account.email, role },
      };
      answer(ctx, { message: 'Logged in', data });
    },
  });

  return [register, login];
}
