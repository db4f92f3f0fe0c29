/**
 * Decides as whom Postgres runs and where its programs and files are. Postgres refuses to run as root; so root lends it an
 * unprivileged user, who must be able to reach everything. A checkout below a closed folder (`/root`, a `mktemp -d`)
 * cannot be reached: then programs and files move to `/var/lib/pricepool`. Each relocated home names the data folder that
 * it belongs to, and one whose data folder was deleted is deleted too.
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { access, mkdir, readFile, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Identity } from './child.ts';
import { copiedBinaries, packagedBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { endPostgresLeftover } from './postgres-leftover.ts';

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

interface Owner {
  readonly dataDir: string;
  readonly token: string;
}

/**
 * Finds or makes the place of the Postgres of a data folder.
 * @throws {Error} when a folder belongs to another user or cannot be made.
 */
export async function placePostgres(dataDir: string): Promise<PostgresPlace> {
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
  return { home: await relocatedHome(absolute), binaries, identity, relocated: true };
}

/** Deletes relocated homes whose data folder is gone, servers included. */
async function sweepRelocated(): Promise<void> {
  for (const name of await readdir(relocationRoot).catch(() => [])) {
    const home = join(relocationRoot, name);
    const owner = await readJson<Owner>(join(home, ownerFile));
    if (owner === undefined || (await tokenOf(owner.dataDir)) === owner.token) continue;
    await endPostgresLeftover(join(home, 'cluster'));
    await rm(home, { recursive: true, force: true });
  }
}

async function relocatedHome(dataDir: string): Promise<string> {
  const token = (await tokenOf(dataDir)) ?? randomUUID();
  await writeFile(join(dataDir, 'postgres-token'), token, { mode: 0o600 });
  const name = createHash('sha256').update(`${dataDir}\0${token}`).digest('hex').slice(0, 16);
  const home = await makeHome(join(relocationRoot, name));
  await writeFile(join(home, ownerFile), JSON.stringify({ dataDir, token } satisfies Owner), { mode: 0o600 });
  return home;
}

async function tokenOf(dataDir: string): Promise<string | undefined> {
  return readFile(join(dataDir, 'postgres-token'), 'utf8').catch(() => undefined);
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
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
    throw new Error('Postgres cannot run as root, and there is no user postgres or nobody');
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
  throw new Error(
    `${home} belongs to another user (uid ${uid}). Start as that user, delete the folder, ` +
      `or choose another one with PRICEPOOL_DATA_DIR.`,
  );
}
