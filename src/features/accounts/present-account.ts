import type { Account } from './queries/users.ts';

/** An account as its owner and admins see it. */
export function presentAccount(account: Account): Record<string, unknown> {
  return {
    id: account.id,
    username: account.username,
    email: account.email,
    role: account.role,
    created_at: account.createdAt,
  };
}
