import type { Principal } from '../../auth/principal.ts';
import type { Tokens } from '../../auth/tokens.ts';
import { ForbiddenError, UnauthenticatedError } from '../../lib/errors.ts';
import type { ApiContext } from '../context.ts';

/** Who may call a route: anybody, users with a token, or admins. */
export type Access = 'open' | 'user' | 'admin';

/**
 * Who is asking, by the `Authorization: Bearer` header.
 * @throws {UnauthenticatedError} no token, or not a valid one.
 * @throws {ForbiddenError} an admin is needed and this is none.
 */
export function authenticate(ctx: ApiContext, tokens: Tokens, access: Exclude<Access, 'open'>): Principal {
  const token = bearerOf(ctx.req.headers.authorization);
  if (token === undefined) throw new UnauthenticatedError();
  const principal = tokens.verify(token);
  ctx.state.principal = principal;
  if (access === 'admin' && principal.role !== 'admin') throw new ForbiddenError();
  return principal;
}

/** The token of an `Authorization: Bearer` header. */
export function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined || header.length < 8) return undefined;
  return header.startsWith('Bearer ') || header.slice(0, 7).toLowerCase() === 'bearer '
    ? header.slice(7).trim()
    : undefined;
}
