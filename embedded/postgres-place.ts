/**
 * Decides as whom Postgres runs and where its programs and files are. Postgres refuses to run as root; so root lends it an
 * unprivileged user, who must be able to reach everything. A checkout below a closed folder (`/root`, a `mktemp -d`)
 * cannot be reached: then programs and files move to `/var/lib/pricepool`, and the data folder keeps the name of the place.
 */
import { randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { access, mkdir, readFile, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Identity } from './child.ts';
import { copiedBinaries, packagedBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { endPostgresLeftover } from './leftover.ts';
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

/** What a relocated home says of itself. */
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
    await endPostgresLeftover(join(home, 'cluster'));
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

/** Root runs it as whoever owns the files already, else as `postgres`, else as `nobody`, whom every system has. */
async function unprivilegedUser(home: string): Promise<Identity> {
  const owner = await stat(join(home, 'cluster')).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const entry = lines.find(([name]) => name === 'postgres') ?? lines.find(([name]) => name === 'nobody');
  if (entry === undefined)
    throw new StartError('Postgres cannot run as root, and there is no user postgres or nobody');
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
