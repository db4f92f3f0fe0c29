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

/** The stamp of a build, relative to the project's folder. It is written last: a failed build has none. */
export const buildStampPath = 'dist/build.json';

/**
 * Whether dist/ is a complete build of the current sources, by the times of their last changes. Without sources, as in
 * a release, any complete build counts.
 */
export function isBuildCurrent(root: string): boolean {
  const startedAt = buildStartOf(root);
  return startedAt !== undefined && sources.every((name) => isUntouchedSince(join(root, name), startedAt));
}

/** When the existing build started (ms since the epoch): it may lack later changes. */
function buildStartOf(root: string): number | undefined {
  try {
    const stamp = JSON.parse(readFileSync(join(root, buildStampPath), 'utf8')) as { started_at?: unknown };
    const startedAt = Date.parse(String(stamp.started_at));
    return Number.isNaN(startedAt) ? undefined : startedAt;
  } catch {
    return undefined;
  }
}

/** The time of a folder changes when something in it is added or deleted. */
function isUntouchedSince(path: string, timeMs: number): boolean {
  const own: Stats | undefined = statSync(path, { throwIfNoEntry: false });
  if (own === undefined) return true;
  if (own.mtimeMs >= timeMs) return false;
  return !own.isDirectory() || readdirSync(path).every((name) => isUntouchedSince(join(path, name), timeMs));
}
