import type { CredentialLife } from './queries/credentials.ts';
import { clockSkewSeconds } from './tokens.ts';
import type { Config } from '../../platform/config/load-config.ts';

/** An API key that was revoked may be remembered for this long (s) by a process that has not heard of it. */
const keyMemorySeconds = 60;

/** How long revocations must be kept under this configuration: as long as the longest-lived thing that they end. */
export function credentialLifeOf(
  config: Pick<Config, 'JWT_EXPIRES_IN' | 'STREAM_TICKET_EXPIRES_IN'>,
): CredentialLife {
  const longest = Math.max(config.JWT_EXPIRES_IN, config.STREAM_TICKET_EXPIRES_IN, keyMemorySeconds);
  return { revocationSeconds: longest + 2 * clockSkewSeconds };
}
