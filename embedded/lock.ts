import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { birthOf } from './stale-process.ts';
import { StartError } from './start-error.ts';

/** Content of the lock file of a running start. */
interface Holder {
  readonly pid: number;
  /** Distinguishes the process from a later one with the same pid. */
  readonly birth: string;
  readonly url: string;
}

const maxTries = 5;

/**
 * Makes this process the only one that runs on a data folder. The lock of a process that was killed is taken over.
 * @param url where the API will be; shown to anyone who tries to start a second one.
 * @throws {StartError} when another process holds it.
 */
export async function takeLock(dataDir: string, url: string) {
  const path = join(dataDir, 'up.lock');
  const mine = JSON.stringify({ pid: process.pid, birth: birthOf(process.pid), url } satisfies Holder);
  for (let tries = 0; tries < maxTries; tries += 1) {
    if (await createWhole(path, mine)) return { release: () => releaseIfMine(path, mine) };
    const text = await readFile(path, 'utf8').catch(() => '');
    const holder = parseHolder(text);
    if (holder !== undefined && birthOf(holder.pid) === holder.birth) throw alreadyRunning(dataDir, holder);
    await removeStale(path, text);
  }
  throw new StartError(
    `The lock file ${path} cannot be created. If no other Pricepool uses ${dataDir}, delete that file and start again.`,
  );
}

function alreadyRunning(dataDir: string, { pid, url }: Holder): StartError {
  return new StartError(
    `Pricepool already runs on ${dataDir} (pid ${pid}, API at ${url}). Stop it first, ` +
      'or start a second one with its own PRICEPOOL_DATA_DIR and PORT.',
  );
}

/** A link appears with its whole content or not at all, so no process ever reads half a lock. */
async function createWhole(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, text);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Moves the lock away before it is deleted: if another process has taken it over in the meantime, it is restored. */
async function removeStale(path: string, text: string): Promise<void> {
  const moved = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, moved);
    if ((await readFile(moved, 'utf8')) !== text) await link(moved, path);
  } catch {
    // Another process was faster; the next try reads what is there now.
  } finally {
    await rm(moved, { force: true });
  }
}

async function releaseIfMine(path: string, mine: string): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => '')) === mine) await rm(path, { force: true });
}

function parseHolder(text: string): Holder | undefined {
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return undefined;
  }
}
