import type { Scope } from './scopes.ts';

/** Roles of users. */
export type Role = 'user' | 'admin';

/** Who makes a request, according to the credential. */
export interface Principal {
  readonly userId: string;
  /** The role that the credential grants: an admin's key without the scope `admin` acts for an ordinary user. */
  readonly role: Role;
  /** Generation of the account's credentials that this one belongs to; a higher generation of the account ends it. */
  readonly generation: number;
  /** The session it belongs to; undefined for an API key. */
  readonly sessionId: string | undefined;
  /** The API key; undefined for a person who has logged in. */
  readonly keyId: string | undefined;
  /** What the key may do; undefined for a person, who is limited only by the role. */
  readonly scopes: readonly Scope[] | undefined;
}
