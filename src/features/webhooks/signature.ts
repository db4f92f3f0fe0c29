/**
 * Signatures of webhooks by the specification Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks). The
 * secret of a user is computed from one of the server, the user and a generation: none is stored, and rotating is counting up.
 */
import { createHmac } from 'node:crypto';

/** What is signed. */
export interface SignedMessage {
  readonly id: string;
  /** Seconds since the epoch: when this attempt is made. */
  readonly timestamp: number;
  readonly body: string;
}

/** Whose secret, and how it stands. */
export interface SecretOwner {
  readonly userId: string;
  readonly generation: number;
  /** When this generation began; null for the first. */
  readonly rotatedAt: Date | null;
}

/** For so long (ms) after a rotation the secret before it signs too. */
export const rotationOverlapMs = 24 * 3_600_000;

export interface WebhookSigner {
  /** The secret of a user as receivers are given it: `whsec_` and base64. */
  secretOf(owner: Pick<SecretOwner, 'userId' | 'generation'>): string;
  /** Headers of an attempt: the id, the time, and a signature by every secret that holds. */
  headersOf(message: SignedMessage, owner: SecretOwner): Readonly<Record<string, string>>;
}

/**
 * Builds a {@link WebhookSigner}.
 * @param serverSecrets the one that signs; those behind it sign too, so that a change ends nobody.
 */
export function createSigner(serverSecrets: readonly [string, ...string[]]): WebhookSigner {
  const serverKeys = serverSecrets.map((secret) => hmac(secret, 'pricepool webhooks'));
  const [current = Buffer.alloc(0)] = serverKeys;
  return {
    secretOf: (owner) => `whsec_${keyOf(current, owner).toString('base64')}`,
    headersOf(message, owner) {
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
export function signatureOf(key: Buffer, { id, timestamp, body }: SignedMessage): string {
  return `v1,${hmac(key, `${id}.${timestamp}.${body}`).toString('base64')}`;
}

function keyOf(server: Buffer, { userId, generation }: Pick<SecretOwner, 'userId' | 'generation'>): Buffer {
  return hmac(server, `${userId}/${generation}`);
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
