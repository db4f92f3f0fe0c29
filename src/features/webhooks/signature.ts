/**
 * Signatures of webhooks by the specification Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks). The secret of a user is computed from a secret of the
 * server, the user and a generation: none is stored, and a rotation increases the generation.
 */
import { createHmac } from 'node:crypto';
import type { Config } from '../../platform/config/load-config.ts';

/** After a rotation the previous secret also signs for this time (ms). */
export const rotationOverlapMs = 24 * 3_600_000;

/**
 * If neither secret is set, which the configuration allows only outside of production: such signatures prove nothing.
 */
const known = 'pricepool without a secret';

/**
 * The server secrets from which the signing secrets of users are computed: the first one is current, the second also
 * signs.
 */
export function serverSecretsOf({
  WEBHOOK_SECRET,
  JWT_SECRET,
  JWT_SECRET_PREVIOUS,
}: Pick<Config, 'WEBHOOK_SECRET' | 'JWT_SECRET' | 'JWT_SECRET_PREVIOUS'>): readonly [string, ...string[]] {
  if (WEBHOOK_SECRET !== undefined) return [WEBHOOK_SECRET];
  if (JWT_SECRET === undefined) return [known];
  return JWT_SECRET_PREVIOUS === undefined ? [JWT_SECRET] : [JWT_SECRET, JWT_SECRET_PREVIOUS];
}

/**
 * Signs webhooks.
 * @param serverSecrets the current one, then previous ones that also sign, so that a change breaks no receiver.
 */
export function createSigner(serverSecrets: readonly [string, ...string[]]) {
  const serverKeys = serverSecrets.map((secret) => hmac(secret, 'pricepool webhooks'));
  const [current = Buffer.alloc(0)] = serverKeys;
  return {
    /** The secret of a user in the form that receivers take: `whsec_` and base64. */
    secretOf: (owner: { readonly userId: string; readonly generation: number }): string =>
      `whsec_${keyOf(current, owner).toString('base64')}`,

    /**
     * Headers of an attempt: the id, the time, and a signature by every secret that holds.
     * @param owner whose secret, and when its generation started; null for the first.
     */
    headersOf(
      message: Parameters<typeof signatureOf>[1],
      owner: { readonly userId: string; readonly generation: number; readonly rotatedAt: Date | null },
    ): Readonly<Record<string, string>> {
      const { userId, generation, rotatedAt } = owner;
      const isOverlap =
        rotatedAt !== null && message.timestamp * 1000 < rotatedAt.getTime() + rotationOverlapMs;
      const generations = isOverlap ? [generation, generation - 1] : [generation];
      const signatures = serverKeys.flatMap((server) =>
        generations.map((each) => signatureOf(keyOf(server, { userId, generation: each }), message)),
      );
      return {
        'webhook-id': message.id,
        'webhook-timestamp': String(message.timestamp),
        'webhook-signature': signatures.join(' '),
      };
    },
  };
}

/** `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`. */
export function signatureOf(
  key: Buffer,
  {
    id,
    timestamp,
    body,
  }: {
    readonly id: string;
    /** Seconds since the epoch: when this attempt is made. */
    readonly timestamp: number;
    readonly body: string;
  },
): string {
  return `v1,${hmac(key, `${id}.${timestamp}.${body}`).toString('base64')}`;
}

function keyOf(
  server: Buffer,
  { userId, generation }: { readonly userId: string; readonly generation: number },
): Buffer {
  return hmac(server, `${userId}/${generation}`);
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
