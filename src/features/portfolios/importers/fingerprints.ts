import { createHash } from 'node:crypto';

/** Names rows by what is in them. */
export type Fingerprints = (fields: readonly string[]) => string;

/**
 * Fingerprints of the rows of one file. Rows that are alike to the last field are told apart by counting, because two equal
 * fills in one second are two trades; so the same file gives the same fingerprints each time. Remembers a short text a row.
 */
export function fingerprintsOf(format: string): Fingerprints {
  const seen = new Map<string, number>();
  return (fields) => {
    const text = JSON.stringify([format, ...fields]);
    const digest = createHash('sha256').update(text).digest('base64url').slice(0, 27);
    const count = seen.get(digest) ?? 0;
    seen.set(digest, count + 1);
    return count === 0 ? digest : `${digest}.${count}`;
  };
}
