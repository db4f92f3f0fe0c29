import { readdirSync, readFileSync, statSync, type Stats } from 'node:fs';
import { join } from 'node:path';

/** What goes into dist/. */
const sources = [
  'src',
  'workers',
  'jobs',
  'db',
  'embedded',
  'client',
  'tsconfig.json',
  'tsconfig.build.json',
];

/** The stamp of a build, from the project's folder. It is written last: a build that failed has none. */
export const buildStampPath = 'dist/build.json';

/**
 * Whether dist/ is a whole build of the sources as they are, by the times of their last changes. Where there are no sources,
 * as in a release, any whole build is.
 */
export function isBuildCurrent(root: string): boolean {
  const startedAt = buildStartOf(root);
  return startedAt !== undefined && sources.every((name) => isUntouchedSince(join(root, name), startedAt));
}

/** When the build that is there began (ms since the epoch): what changed later may not be in it. */
function buildStartOf(root: string): number | undefined {
  try {
    const stamp = JSON.parse(readFileSync(join(root, buildStampPath), 'utf8')) as { started_at?: unknown };
    const startedAt = Date.parse(String(stamp.started_at));
    return Number.isNaN(startedAt) ? undefined : startedAt;
  } catch {
    return undefined;
  }
}

/** A folder's own time tells of what was added to it, or deleted. */
function isUntouchedSince(path: string, timeMs: number): boolean {
  const own: Stats | undefined = statSync(path, { throwIfNoEntry: false });
  if (own === undefined) return true;
  if (own.mtimeMs >= timeMs) return false;
  return !own.isDirectory() || readdirSync(path).every((name) => isUntouchedSince(join(path, name), timeMs));
}
