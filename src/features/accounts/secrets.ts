import { createHash, randomBytes } from 'node:crypto';

/**
 * Secrets that we make ourselves: 256 random bits behind a prefix that tells scanners and people what they found. Only their
 * SHA-256 is stored; what cannot be guessed needs no slow hash.
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

/** What is stored of a secret. */
export function hashOfSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
