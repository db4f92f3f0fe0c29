/** What somebody may do. */
export type Role = 'user' | 'admin';

/** Who makes a request, as its token says. */
export interface Principal {
  readonly userId: string;
  readonly role: Role;
}
