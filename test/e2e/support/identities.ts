/** Everybody who might call a route, freshly made: what a row of the matrix destroys, no other row misses. */
import { randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import { createTokens } from '../../../src/features/accounts/tokens.ts';
import { apiClient, type ApiAnswer } from '../../support/api-client.ts';
import { stackSecret } from '../../support/stack.ts';

export const identities = [
  'anonymous',
  'user',
  'other user',
  'admin',
  'expired',
  'revoked',
  'wrong-scope key',
  'deleted user',
] as const;
export type Identity = (typeof identities)[number];

/** Somebody with an account. */
export interface Person {
  readonly id: string;
  readonly username: string;
  readonly email: string;
  readonly password: string;
  readonly token: string;
  readonly refreshToken: string;
}

/** The people of one row, and the credential of each identity. */
export interface Cast {
  readonly owner: Person;
  readonly credentials: Readonly<Record<Identity, string | undefined>>;
}

let people = 0;

/** Registers somebody and logs him in. */
export async function newPerson(url: string): Promise<Person> {
  const username = `person-${process.pid}-${Date.now().toString(36)}-${++people}`;
  const account = { username, email: `${username}@example.com`, password: 'correct horse 1' };
  const anonymous = apiClient(url);
  const { body } = await anonymous.call('POST', '/auth/register', { body: account });
  return { ...account, id: body?.data.id as string, ...(await logIn(url, account)) };
}

/** New tokens for an account. */
export async function logIn(
  url: string,
  { email, password }: Pick<Person, 'email' | 'password'>,
): Promise<Pick<Person, 'token' | 'refreshToken'>> {
  const { status, body } = await apiClient(url).call('POST', '/auth/login', { body: { email, password } });
  if (status !== 200) throw new Error(`login answered ${status}`);
  return { token: body?.data.token as string, refreshToken: body?.data.refresh_token as string };
}

/** Calls with a bearer credential and expects success. */
export async function succeed(
  url: string,
  token: string,
  [method, path, body]: readonly [string, string, object?],
): Promise<NonNullable<ApiAnswer['body']>['data']> {
  const answer = await apiClient(url, token).call(method, path, body === undefined ? {} : { body });
  if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status}`);
  return answer.body?.data;
}

/** Makes the cast of a row. Admins are made in the database, as the command does. */
export async function newCast(url: string, knex: Knex): Promise<Cast> {
  const [owner, other, admin, leaver] = await Promise.all([0, 1, 2, 3].map(() => newPerson(url)));
  if (owner === undefined || other === undefined || admin === undefined || leaver === undefined)
    throw new Error('somebody is missing');
  await knex('users').where({ id: admin.id }).update({ role: 'admin' });
  const asAdmin = await logIn(url, admin);
  const revoked = await logIn(url, owner);
  await succeed(url, revoked.token, ['POST', '/auth/logout']);
  await succeed(url, leaver.token, ['DELETE', '/users/me', { current_password: leaver.password }]);
  const key = await succeed(url, owner.token, [
    'POST',
    '/api-keys',
    { name: 'of no use', scopes: ['portfolio:read'] },
  ]);
  return {
    owner,
    credentials: {
      anonymous: undefined,
      user: owner.token,
      'other user': other.token,
      admin: asAdmin.token,
      expired: expiredToken(owner.id),
      revoked: revoked.token,
      'wrong-scope key': key.key as string,
      'deleted user': leaver.token,
    },
  };
}

/** Signed with the right secret, and two hours old. */
function expiredToken(userId: string): string {
  const clock = { now: () => Date.now() - 7_200_000 };
  const tokens = createTokens({
    secret: stackSecret,
    expiresInSeconds: 60,
    ticketExpiresInSeconds: 60,
    clock,
  });
  return tokens.issue({ userId, role: 'admin', generation: 0, sessionId: randomUUID() });
}
