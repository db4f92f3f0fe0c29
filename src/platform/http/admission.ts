/**
 * Admission: authentication, authorisation and rate limits. A request is charged to its API key, else to its user, else to its
 * address; one with a bad credential is charged to its address. An address that has used up its allowance is refused before the
 * database is asked about its credential: an attacker costs little, and neighbours behind the same address, whose tokens need
 * no lookup and whose keys were valid before, are still served. Logging in and refreshing have allowances of their own for the
 * same reason.
 *
 * Everything is synchronous where memory has the answer, which is nearly always; then a read needs no further promise.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { ParsedUrlQuery } from 'node:querystring';
import type { Principal } from '../../domain/principal.ts';
import type { Clock } from '../concurrency/clock.ts';
import type { Config } from '../config/load-config.ts';
import type { Allowances } from '../redis/allowances.ts';
import { limitSubjectOf } from './network.ts';
import { ForbiddenError, RateLimitedError, UnauthenticatedError } from '../../domain/errors.ts';
import type { LimitPolicy, LimitState } from '../../domain/rate-limit.ts';
import { scopesOf, type AccessRule } from './access-rule.ts';
import type { ApiState } from './context.ts';

/**
 * What admission reads from a request, and where it stores its findings. The context of a request is one, an upgrade another.
 */
export interface Entrant {
  readonly req: { readonly headers: IncomingHttpHeaders };
  readonly query: ParsedUrlQuery;
  readonly state: Pick<ApiState, 'address' | 'limits' | 'cameWithTicket' | 'principal'>;
}

/** Admits a request, or throws; undefined for open routes. */
export type Admit = (
  entrant: Entrant,
  rule: AccessRule,
) => Principal | undefined | Promise<Principal | undefined>;

/** What a request brings to say who it is: a token or key from a header, or a stream ticket. */
interface Credential {
  readonly kind: 'bearer' | 'ticket';
  readonly text: string;
}

/** What admission needs from accounts. */
export interface Authenticator {
  /**
   * Who a credential speaks for; a promise only when the database must be asked.
   * @throws {UnauthenticatedError} it is not valid, has expired or was revoked.
   * @throws {UnavailableError} it cannot be checked at the moment.
   */
  authenticate(credential: Credential): Principal | Promise<Principal>;
  /** Whether checking the credential asks nobody: a signature, or a key that was found good before. */
  isCheap(credential: Credential): boolean;
  /** Requests a day that a key which was authenticated may make; undefined for any number. */
  dailyQuotaOf(keyId: string): number | undefined;
}

interface AdmitDeps {
  readonly authenticator: Authenticator;
  readonly allowances: Allowances;
  readonly usage: { request(who: Principal): void };
  readonly clock: Clock;
  readonly config: Pick<Config, 'RATE_LIMIT_USER' | 'RATE_LIMIT_KEY' | 'RATE_LIMIT_ADDRESS'>;
}

const dayMs = 86_400_000;
const quotaRefusal = { code: 'quota_exceeded', message: 'The daily quota of this API key is used up' };

/** Builds the {@link Admit} of an application. All that are built from the same parts share their counts. */
export function createAdmit(deps: AdmitDeps): Admit {
  const charges = new Charges(deps);
  const door = new Door(deps, charges);

  return (ctx, rule) => {
    if (rule.access !== 'open') return door.enter(ctx, rule);
    if (rule.unlimited) return undefined;
    const charged = charges.open(ctx, rule);
    return charged instanceof Promise ? charged.then(() => undefined) : undefined;
  };
}

/** What a request is charged to. Each charge is noted in the context, for the answer's fields. */
class Charges {
  readonly #deps: AdmitDeps;
  readonly #policies: Readonly<Record<'user' | 'key' | 'address' | 'login' | 'refresh', LimitPolicy>>;

  constructor(deps: AdmitDeps) {
    this.#deps = deps;
    const { RATE_LIMIT_USER: user, RATE_LIMIT_KEY: key, RATE_LIMIT_ADDRESS: address } = deps.config;
    const perMinute = (name: string, limit: number): LimitPolicy => ({ name, limit, windowSeconds: 60 });
    this.#policies = {
      user: perMinute('user', user),
      key: perMinute('key', key),
      address: perMinute('address', address),
      login: perMinute('login', address),
      refresh: perMinute('refresh', address),
    };
  }

  /** A request to an open route. */
  open(ctx: Entrant, { allowance }: AccessRule): void | Promise<void> {
    return this.#take(ctx, this.#policies[allowance ?? 'address'], limitSubjectOf(ctx.state.address));
  }

  address(ctx: Entrant): void | Promise<void> {
    return this.#take(ctx, this.#policies.address, limitSubjectOf(ctx.state.address));
  }

  /** Whether the address is known to have nothing left. */
  isSpent(ctx: Entrant): boolean {
    return this.#deps.allowances.isSpent(this.#policies.address, limitSubjectOf(ctx.state.address));
  }

  principal(ctx: Entrant, { userId, keyId }: Principal): void | Promise<void> {
    if (keyId === undefined) return this.#take(ctx, this.#policies.user, userId);
    const charged = this.#take(ctx, this.#policies.key, keyId);
    const quota = this.#deps.authenticator.dailyQuotaOf(keyId);
    if (quota === undefined) return charged;
    // A day of UTC: counted from midnight, whenever its first request came.
    const day = Math.floor(this.#deps.clock.now() / dayMs);
    const policy: LimitPolicy = {
      name: 'quota',
      limit: quota,
      windowSeconds: dayMs / 1000,
      endsAt: (day + 1) * dayMs,
      refusal: quotaRefusal,
    };
    const takeQuota = (): void | Promise<void> =>
      charge(ctx, () => this.#deps.allowances.take(policy, `${keyId}:${day}`));
    return charged instanceof Promise ? charged.then(takeQuota) : takeQuota();
  }

  #take(ctx: Entrant, policy: LimitPolicy, subject: string): void | Promise<void> {
    return charge(ctx, () => this.#deps.allowances.take(policy, subject));
  }
}

/** Takes from an allowance, and stores its state for the headers of the response, also when it refuses. */
export function charge(ctx: Entrant, take: () => LimitState | Promise<LimitState>): void | Promise<void> {
  try {
    const state = take();
    if (state instanceof Promise) return state.then((each) => void ctx.state.limits.push(each), noted(ctx));
    ctx.state.limits.push(state);
  } catch (error) {
    noted(ctx)(error);
  }
  return undefined;
}

/** The way in for those who bring a credential. */
class Door {
  readonly #deps: AdmitDeps;
  readonly #charges: Charges;

  constructor(deps: AdmitDeps, charges: Charges) {
    this.#deps = deps;
    this.#charges = charges;
  }

  enter(ctx: Entrant, rule: AccessRule): Principal | Promise<Principal> {
    const { authenticator } = this.#deps;
    const credential = credentialOf(ctx, rule);
    if (credential === undefined) return this.#refuse(ctx, new UnauthenticatedError());
    if (!authenticator.isCheap(credential) && this.#charges.isSpent(ctx))
      return this.#refuse(ctx, new UnauthenticatedError());
    ctx.state.cameWithTicket = credential.kind === 'ticket';
    let principal: Principal | Promise<Principal>;
    try {
      principal = authenticator.authenticate(credential);
    } catch (error) {
      return this.#refuse(ctx, error);
    }
    if (!(principal instanceof Promise)) return this.#admit(ctx, rule, principal);
    return principal.then(
      (each) => this.#admit(ctx, rule, each),
      (error: unknown) => this.#refuse(ctx, error),
    );
  }

  #admit(ctx: Entrant, rule: AccessRule, principal: Principal): Principal | Promise<Principal> {
    ctx.state.principal = principal;
    this.#deps.usage.request(principal);
    const charged = this.#charges.principal(ctx, principal);
    return charged instanceof Promise
      ? charged.then(() => allowed(principal, rule))
      : allowed(principal, rule);
  }

  /** Who guesses credentials pays with the allowance of the address. */
  async #refuse(ctx: Entrant, error: unknown): Promise<never> {
    if (error instanceof UnauthenticatedError) await this.#charges.address(ctx);
    throw error;
  }
}

/** A refusal tells where its limit stands, as the answers before it did. */
function noted(ctx: Entrant): (error: unknown) => never {
  return (error) => {
    if (error instanceof RateLimitedError && error.limit !== undefined) ctx.state.limits.push(error.limit);
    throw error;
  };
}

/**
 * The principal, if its role and scopes satisfy the rule.
 * @throws {ForbiddenError} the credential is valid, but not sufficient.
 */
export function allowed(
  principal: Principal,
  { access, scope }: Pick<AccessRule, 'access' | 'scope'>,
): Principal {
  const { role, scopes } = principal;
  if (access === 'admin' && role !== 'admin') throw new ForbiddenError('Only admins may do this');
  if (scopes === undefined || scope === undefined || scope === 'any') return principal;
  if (scope === 'session')
    throw new ForbiddenError(
      'API keys may not do this: send an access token from POST /api/v1/auth/login',
      'session_required',
    );
  const needed = scopesOf(scope);
  if (!needed.some((each) => scopes.includes(each)))
    throw new ForbiddenError(`The API key lacks the scope ${needed.join(' or ')}`, 'scope_missing');
  return principal;
}

/** The credential of a request: a header, or for streams a ticket in the query. */
function credentialOf(ctx: Entrant, { takesTicket, takesCoinGeckoKey }: AccessRule): Credential | undefined {
  const { authorization, 'x-api-key': apiKey } = ctx.req.headers;
  const bearer = bearerOf(authorization);
  if (bearer !== undefined) return { kind: 'bearer', text: bearer };
  if (typeof apiKey === 'string') return { kind: 'bearer', text: apiKey };
  if (takesCoinGeckoKey) return coinGeckoKeyOf(ctx);
  if (!takesTicket) return undefined;
  const { ticket } = ctx.query;
  return typeof ticket === 'string' ? { kind: 'ticket', text: ticket } : undefined;
}

/** One of our API keys where clients of CoinGecko put theirs. */
function coinGeckoKeyOf(ctx: Entrant): Credential | undefined {
  const { 'x-cg-demo-api-key': demo, 'x-cg-pro-api-key': pro } = ctx.req.headers;
  // The query is parsed when it is looked into: that costs more than all else here.
  const given = demo ?? pro ?? ctx.query['x_cg_demo_api_key'] ?? ctx.query['x_cg_pro_api_key'];
  const text = Array.isArray(given) ? given.at(-1) : given;
  return text === undefined || text === '' ? undefined : { kind: 'bearer', text };
}

/** The token of an `Authorization: Bearer` header. */
export function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined || header.length < 8) return undefined;
  return header.startsWith('Bearer ') || header.slice(0, 7).toLowerCase() === 'bearer '
    ? header.slice(7).trim()
    : undefined;
}
