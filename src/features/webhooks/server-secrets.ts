import type { Config } from '../../platform/config/load-config.ts';

/** Where neither secret is set, which the configuration allows outside of production only: such signatures prove nothing. */
const known = 'pricepool without a secret';

/** What the signing secrets of users are computed from: the first one holds, the one behind it signs too. */
export function serverSecretsOf({
  WEBHOOK_SECRET,
  JWT_SECRET,
  JWT_SECRET_PREVIOUS,
}: Pick<Config, 'WEBHOOK_SECRET' | 'JWT_SECRET' | 'JWT_SECRET_PREVIOUS'>): readonly [string, ...string[]] {
  if (WEBHOOK_SECRET !== undefined) return [WEBHOOK_SECRET];
  if (JWT_SECRET === undefined) return [known];
  return JWT_SECRET_PREVIOUS === undefined ? [JWT_SECRET] : [JWT_SECRET, JWT_SECRET_PREVIOUS];
}
