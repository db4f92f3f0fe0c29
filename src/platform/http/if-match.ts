import { AppError } from '../../domain/errors.ts';
import type { ExpectedVersion } from '../../domain/expected-version.ts';
import type { ApiContext } from './context.ts';

/** The suffix that compressing proxies add to a tag; it names the same version. */
const codingSuffix = /-(?:gzip|br|zstd|deflate)"$/;

const versionTag = /^"([1-9]\d{0,8})"$/;

/** Strong entity tag of a resource whose representation depends only on its version. */
export function versionTagOf({ version }: { readonly version: number }): string {
  return `"${version}"`;
}

/**
 * The versions in an `If-Match` header. Tags are compared strongly (RFC 9110): weak tags and tags that are not ours match
 * nothing.
 * @throws {AppError} 428 without the header: a client that changes a resource must name the version it has read, or `*`.
 */
export function expectedVersion(ctx: ApiContext): ExpectedVersion {
  const header = ctx.req.headers['if-match'];
  if (header === undefined) {
    throw new AppError(
      'Send the header If-Match with the ETag that you last read, or * to change any version',
      {
        code: 'precondition_required',
        status: 428,
      },
    );
  }
  if (header.trim() === '*') return 'any';
  return header.split(',').flatMap((tag) => {
    const version = versionTag.exec(tag.trim().replace(codingSuffix, '"'))?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

/** Description of the header for routes with `If-Match`. */
export const ifMatchHeader = {
  'If-Match': {
    description: 'The ETag that you last read, or * to change any version',
    required: true,
  },
} as const;

/** The header of routes that answer 304. */
export const ifNoneMatchHeader = {
  'If-None-Match': 'The ETag of an earlier response; 304 when nothing has changed since',
} as const;

/** Additional responses of such a route. */
export const ifMatchResponses = {
  412: 'It has changed since you read it: If-Match does not name its current ETag',
  428: 'The header If-Match is missing',
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
