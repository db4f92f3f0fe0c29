import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/**
 * Secrets that we make ourselves: 256 bits, random or from an HMAC, behind a prefix that tells scanners and people what they found.
 * Only their SHA-256 is stored; what cannot be guessed needs no slow hash.
 */
const secretPrefixes = { refresh: 'ppr_', key: 'ppk_', reset: 'ppp_' } as const;

const wellFormed = /^pp[rkp]_[A-Za-z0-9_-]{43}$/;

/** A new secret. */
export function newSecret(kind: keyof typeof secretPrefixes): string {
  return secretPrefixes[kind] + randomBytes(32).toString('base64url');
}

/** Whether a text could be a secret of this kind: looked at before anything is asked of the database. */
export function isSecret(kind: keyof typeof secretPrefixes, text: string): boolean {
  return text.startsWith(secretPrefixes[kind]) && wellFormed.test(text);
}

/**
 * Computes which refresh token comes after another: an HMAC of it under a key that is derived from a secret of the deployment, so that
 * every process computes the same and nothing needs to be stored for it. The returned function gives a successor for each live secret,
 * that of the current one first; none can be computed without the secret.
 */
export function createSuccession({
  secret,
  previousSecret,
}: {
  readonly secret: string;
  /** The secret before the current one: successors made under it are still found. */
  readonly previousSecret?: string | undefined;
}): (refreshToken: string) => readonly [string, ...string[]] {
  const current = successionKey(secret);
  const previous = previousSecret === undefined ? [] : [successionKey(previousSecret)];
  return (refreshToken) => {
    const under = (key: Buffer): string =>
      secretPrefixes.refresh + createHmac('sha256', key).update(refreshToken).digest('base64url');
    return [under(current), ...previous.map(under)];
  };
}

/** A key of its own, so that nothing which signs with the secret tells anything about successors. */
function successionKey(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', 'pricepool: successors of refresh tokens', 32));
}

/** What is stored of a secret. */
export function hashOfSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
