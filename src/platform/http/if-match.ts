import { AppError } from '../../domain/errors.ts';
import type { ExpectedVersion } from '../../domain/expected-version.ts';
import type { ApiContext } from './context.ts';

/** What proxies that compress put at the end of a tag; it names the same thing all the same. */
const codingSuffix = /-(?:gzip|br|zstd|deflate)"$/;

const versionTag = /^"([1-9]\d{0,8})"$/;

/** Strong entity tag of something whose representation changes with its version alone. */
export function versionTagOf({ version }: { readonly version: number }): string {
  return `"${version}"`;
}

/**
 * The versions that an `If-Match` names. Tags are compared strongly (RFC 9110): weak ones and those that we never made match
 * nothing.
 * @throws {AppError} 428 without the header: who changes something says what he has seen, or `*`.
 */
export function expectedVersion(ctx: ApiContext): ExpectedVersion {
  const header = ctx.req.headers['if-match'];
  if (header === undefined) {
    throw new AppError('Send If-Match with the ETag that you last read, or * to change any version', {
      code: 'precondition_required',
      status: 428,
    });
  }
  if (header.trim() === '*') return 'any';
  return header.split(',').flatMap((tag) => {
    const version = versionTag.exec(tag.trim().replace(codingSuffix, '"'))?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

/** What a route with `If-Match` says of it. */
export const ifMatchHeader = {
  'If-Match': 'The ETag that you last read, or * for any version; required',
} as const;

/** What such a route answers besides. */
export const ifMatchAnswers = {
  412: 'It has changed since you read it: its ETag is different',
  428: 'If-Match is missing',
} as const;

/** Whether an `If-None-Match` header names this entity tag (weak comparison, as RFC 9110 asks for GET). */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return (
    header.trim() === '*' ||
    header.split(',').some((each) => {
      const named = each.trim().replace(/^W\//, '');
      return named === tag || named.replace(codingSuffix, '"') === tag;
    })
  );
}
