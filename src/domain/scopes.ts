/** Permissions that an API key can have. */
export const scopes = [
  'prices:read',
  'jobs:write',
  'portfolio:read',
  'portfolio:write',
  'alerts:read',
  'alerts:write',
  'webhooks:read',
  'webhooks:write',
  'admin',
] as const;
export type Scope = (typeof scopes)[number];
