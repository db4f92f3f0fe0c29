/**
 * Who comes in, and how often. A request is charged to its API key, else to its user, else to its address; one with a bad
 * credential is charged to its address. An address that has spent its allowance is refused before any work is spent on its
 * credential, unless the credential was good before: an attacker costs little, and neighbours behind the same address that
 * have logged in are served all the same.
 *
 * All of it is synchronous where memory knows the answer, which is nearly always; then a read costs no promise more.
 */
import type { Principal } from '../../auth/principal.ts';
import type { Authenticator, Credential } from '../../accounts/authenticator.ts';
import { limitSubjectOf } from '../../lib/network.ts';
import { ForbiddenError, RateLimitedError, UnauthenticatedError } from '../../lib/errors.ts';
import type { LimitPolicy, LimitState } from '../../lib/rate-limit.ts';
import type { AccessRule } from '../access.ts';
import type { ApiContext } from '../context.ts';

/** Lets a request in, or throws; undefined for open routes. */
export type Admit = (
  ctx: ApiContext,
  rule: AccessRule,
) => Principal | undefined | Promise<Principal | undefined>;

interface Allowances {
  take(policy: LimitPolicy, subject: string): LimitState | Promise<LimitState>;
  isSpent(policy: LimitPolicy, subject: string): boolean;
}

interface AdmitDeps {
  readonly authenticator: Authenticator;
  readonly allowances: Allowances;
  readonly usage: { request(who: Principal): void };
  /** Requests a minute. */
  readonly limits: { readonly user: number; readonly key: number; readonly address: number };
}

/** Builds the {@link Admit} of an application. */
export function createAdmit({ authenticator, allowances, usage, limits }: AdmitDeps): Admit {
  const perMinute = (name: string, limit: number): LimitPolicy => ({ name, limit, windowSeconds: 60 });
  const policies = {
    user: perMinute('user', limits.user),
    key: perMinute('key', limits.key),
    address: perMinute('address', limits.address),
  };

  function charge(ctx: ApiContext, policy: LimitPolicy, subject: string): void | Promise<void> {
    try {
      const state = allowances.take(policy, subject);
      if (state instanceof Promise) return state.then((each) => void ctx.state.limits.push(each), noted(ctx));
      ctx.state.limits.push(state);
    } catch (error) {
      noted(ctx)(error);
    }
    return undefined;
  }

  const chargeAddress = (ctx: ApiContext): void | Promise<void> =>
    charge(ctx, policies.address, limitSubjectOf(ctx.state.address));

  function chargePrincipal(ctx: ApiContext, principal: Principal): void | Promise<void> {
    const { userId, keyId } = principal;
    if (keyId === undefined) return charge(ctx, policies.user, userId);
    const quota = authenticator.dailyQuotaOf(keyId);
    const charged = charge(ctx, policies.key, keyId);
    if (quota === undefined) return charged;
    const policy: LimitPolicy = { name: 'quota', limit: quota, windowSeconds: 86_400 };
    const day = new Date().toISOString().slice(0, 10);
    return both(charged, () => charge(ctx, policy, `${keyId}:${day}`));
  }

  function enter(ctx: ApiContext, rule: AccessRule, principal: Principal): Principal | Promise<Principal> {
    ctx.state.principal = principal;
    usage.request(principal);
    const letIn = (): Principal => {
      refuseForeign(principal, rule);
      return principal;
    };
    const charged = chargePrincipal(ctx, principal);
    return charged instanceof Promise ? charged.then(letIn) : letIn();
  }

  /** Who guesses credentials pays with the allowance of the address. */
  async function refuse(ctx: ApiContext, error: unknown): Promise<never> {
    if (error instanceof UnauthenticatedError) await chargeAddress(ctx);
    throw error;
  }

  function authenticated(ctx: ApiContext, rule: AccessRule): Principal | Promise<Principal> {
    const credential = credentialOf(ctx, rule);
    if (credential === undefined) return refuse(ctx, new UnauthenticatedError());
    const subject = limitSubjectOf(ctx.state.address);
    if (allowances.isSpent(policies.address, subject) && !authenticator.knows(credential))
      return refuse(ctx, new UnauthenticatedError());
    let principal: Principal | Promise<Principal>;
    try {
      principal = authenticator.authenticate(credential);
    } catch (error) {
      return refuse(ctx, error);
    }
    if (!(principal instanceof Promise)) return enter(ctx, rule, principal);
    return principal.then(
      (each) => enter(ctx, rule, each),
      (error: unknown) => refuse(ctx, error),
    );
  }

  return (ctx, rule) => {
    if (rule.access !== 'open') return authenticated(ctx, rule);
    if (rule.unlimited) return undefined;
    const charged = chargeAddress(ctx);
    return charged instanceof Promise ? charged.then(() => undefined) : undefined;
  };
}

/** A refusal tells where its limit stands, as the answers before it did. */
function noted(ctx: ApiContext): (error: unknown) => never {
  return (error) => {
    if (error instanceof RateLimitedError && error.limit !== undefined) ctx.state.limits.push(error.limit);
    throw error;
  };
}

function both(first: void | Promise<void>, second: () => void | Promise<void>): void | Promise<void> {
  return first instanceof Promise ? first.then(second) : second();
}

/**
 * Role and scope.
 * @throws {ForbiddenError} the credential is good, but not for this.
 */
function refuseForeign({ role, scopes }: Principal, { access, scope }: AccessRule): void {
  if (access === 'admin' && role !== 'admin') throw new ForbiddenError();
  if (scopes === undefined || scope === undefined || scope === 'any') return;
  if (scope === 'session') throw new ForbiddenError('API keys may not do this: log in', 'session_required');
  if (!scopes.includes(scope))
    throw new ForbiddenError(`The API key lacks the scope ${scope}`, 'scope_missing');
}

/** The credential of a request: a header, or for streams a ticket in the query. */
function credentialOf(ctx: ApiContext, { takesTicket }: AccessRule): Credential | undefined {
  const { authorization, 'x-api-key': apiKey } = ctx.req.headers;
  const bearer = bearerOf(authorization);
  if (bearer !== undefined) return { kind: 'bearer', text: bearer };
  if (typeof apiKey === 'string') return { kind: 'bearer', text: apiKey };
  if (!takesTicket) return undefined;
  const { ticket } = ctx.query;
  return typeof ticket === 'string' ? { kind: 'ticket', text: ticket } : undefined;
}

/** The token of an `Authorization: Bearer` header. */
export function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined || header.length < 8) return undefined;
  return header.startsWith('Bearer ') || header.slice(0, 7).toLowerCase() === 'bearer '
    ? header.slice(7).trim()
    : undefined;
}
