import { createHash } from 'node:crypto';
import { ValidationError } from '../../domain/errors.ts';

/** Longest time (s) that a client may wait for an answer. */
export const maxWaitSeconds = 60;

const waitPreference = /(?:^|,)\s*wait\s*=\s*"?(\d+)"?\s*(?:;[^,]*)?(?=,|$)/i;

/**
 * Seconds of the `wait` preference of a `Prefer` header (RFC 7240), 60 at most; undefined without a usable one. Preferences are
 * optional: unknown ones are ignored.
 */
export function preferredWaitSeconds(header: string | readonly string[] | undefined): number | undefined {
  const text = typeof header === 'string' ? header : header?.join(',');
  const seconds = Number(waitPreference.exec(text ?? '')?.[1] ?? 0);
  return seconds > 0 ? Math.min(seconds, maxWaitSeconds) : undefined;
}

/** Whether a `Prefer` header asks for a response at once, even if work is left (RFC 7240, `respond-async`). */
export function prefersAsync(header: string | readonly string[] | undefined): boolean {
  const text = typeof header === 'string' ? header : (header?.join(',') ?? '');
  return /(?:^|,)\s*respond-async\s*(?:;[^,]*)?(?=,|$)/i.test(text);
}

/**
 * The `Idempotency-Key` of a request and the request that it identifies.
 * @throws {ValidationError} it is not 1 to 255 visible ASCII characters.
 */
export function idempotencyOf(header: string | readonly string[] | undefined, route: string, body: unknown) {
  if (header === undefined) return undefined;
  if (typeof header !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(header)) {
    const message = 'must be 1 to 255 visible ASCII characters';
    throw new ValidationError('The request is not valid', [{ field: 'Idempotency-Key', message }]);
  }
  // The body has been validated: its keys stand in the order of the schema, whatever order the client wrote them in.
  return { key: header, route, bodyHash: createHash('sha256').update(JSON.stringify(body)).digest('hex') };
}
