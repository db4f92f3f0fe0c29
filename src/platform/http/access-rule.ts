import type { Scope } from '../../domain/scopes.ts';

/** Who may call a route: anybody, users, or admins. */
export type Access = 'open' | 'user' | 'admin';

/**
 * The scope that an API key needs for a route, one of several where there is a choice; `any`: every key is accepted; `session`:
 * no key is, only users who have logged in.
 */
export type RouteScope = Scope | readonly Scope[] | 'any' | 'session';

/** The scopes of which a key needs one; empty for `session` and `any`. */
export function scopesOf(scope: RouteScope | undefined): readonly Scope[] {
  if (scope === undefined || scope === 'any' || scope === 'session') return [];
  return typeof scope === 'string' ? [scope] : scope;
}

/** What a request needs to be admitted to a route. */
export interface AccessRule {
  readonly access: Access;
  /** Undefined for open routes only. */
  readonly scope: RouteScope | undefined;
  /** A stream ticket in the query will do: the clients of streams cannot set headers. */
  readonly takesTicket: boolean;
  /** An API key where CoinGecko's clients put theirs, header or query, will do. */
  readonly takesCoinGeckoKey: boolean;
  /** What an open route is charged to; the common allowance of the address when absent. */
  readonly allowance: 'login' | 'refresh' | undefined;
  /** Not counted against any limit: what probes ask for. */
  readonly unlimited: boolean;
}
