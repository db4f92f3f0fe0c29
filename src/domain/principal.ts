import type { Scope } from './scopes.ts';

/** What somebody may do. */
export type Role = 'user' | 'admin';

/** Who makes a request, as the credential says. */
export interface Principal {
  readonly userId: string;
  /** What the credential allows: an admin's key without the scope `admin` speaks for a user. */
  readonly role: Role;
  /** Generation of the account's credentials that this one belongs to; raised generations end it. */
  readonly generation: number;
  /** The session it belongs to; undefined for an API key. */
  readonly sessionId: string | undefined;
  /** The API key; undefined for a person who has logged in. */
  readonly keyId: string | undefined;
  /** What the key may do; undefined for a person, whom only the role bounds. */
  readonly scopes: readonly Scope[] | undefined;
}
