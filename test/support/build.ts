import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../embedded/project-root.ts';

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
const buildTimeoutMs = 120_000;

/**
 * Makes sure that dist/ is a build of the sources as they are: builds with `npm run build` unless it is newer than all.
 * @throws {Error} with the compiler's words when it does not build.
 */
export async function ensureBuild(): Promise<void> {
  const builtAt = await newestIn(join(projectRoot, 'dist/src/main.js'));
  const changedAt = await Promise.all(sources.map((name) => newestIn(join(projectRoot, name))));
  if (builtAt > Math.max(...changedAt)) return;
  await promisify(execFile)('npm', ['run', 'build'], { cwd: projectRoot, timeout: buildTimeoutMs }).catch(
    (error: unknown) => {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`npm run build failed: ${stdout}${stderr}`);
    },
  );
}

/** Time (ms since the epoch) of the last change of a file, or of anything below a folder; 0 when it is not there. */
async function newestIn(path: string): Promise<number> {
  const own = await stat(path).catch(() => undefined);
  if (own === undefined) return 0;
  if (!own.isDirectory()) return own.mtimeMs;
  const names = await readdir(path);
  // The folder's own time tells of files that were deleted.
  return Math.max(own.mtimeMs, ...(await Promise.all(names.map((name) => newestIn(join(path, name))))));
}
