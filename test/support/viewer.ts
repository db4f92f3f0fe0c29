/** Somebody who opens streams. */
export const viewer = {
  userId: 'somebody',
  role: 'user',
  generation: 0,
  sessionId: undefined,
  keyId: undefined,
  scopes: undefined,
} as const;
