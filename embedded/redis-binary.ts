/**
 * Finds a Redis server, or provides one without touching the system: no npm package ships the binary, but the packages of
 * a Debian or Ubuntu can be downloaded and unpacked into a folder of ours by anybody.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../src/domain/errors.ts';
import type { Logger } from '../src/platform/observability/logger.ts';
import { projectRoot } from './project-root.ts';
import { StartError } from './start-error.ts';

export interface RedisBinary {
  readonly command: string;
  /** Folders of libraries that the system lacks; empty for an installed server. */
  readonly libraryPath: string;
  /** Such as `7.0.15`. */
  readonly version: string;
}

const programs = ['redis-server', 'valkey-server'];
const oldestMajor = 7;
const stepTimeoutMs = 120_000;
const runFile = promisify(execFile);

/** Where an unpacked server is kept by default, so that all data folders of a checkout share it. */
export const sharedRedisFolder = join(projectRoot, '.pricepool');

/**
 * A Redis 7 or Valkey server: from PATH, else unpacked earlier, else downloaded and unpacked now.
 * @throws {StartError} that names every way out when none can be had.
 */
export async function findOrProvisionRedisBinary(options: {
  /** Folders that may hold `redis-bin`, the best first; the last resort of the list is where it is unpacked if need be. */
  readonly folders?: readonly string[];
  readonly log: Logger;
  /** Directories of programs, as in PATH. */
  readonly path?: string | undefined;
}): Promise<RedisBinary> {
  const { log, folders = [sharedRedisFolder], path = process.env.PATH ?? '' } = options;
  const installed = await installedServer(path);
  if (installed !== undefined) return installed;
  for (const folder of folders) {
    const unpacked = await unpackedServer(join(folder, 'redis-bin'));
    if (unpacked !== undefined) return unpacked;
  }
  const failures: string[] = [];
  for (const folder of folders) {
    try {
      log.info({ folder }, 'no Redis server is installed: downloading a private copy');
      return await provision(folder, path);
    } catch (error) {
      failures.push(messageOf(error).split('\n')[0] ?? '');
    }
  }
  throw new StartError(waysOut(failures));
}

function waysOut(failures: readonly string[]): string {
  return [
    `No Redis server (version ${oldestMajor} or later) was found, and none could be unpacked (${failures.join('; ')}).`,
    'Any one of these helps:',
    '  - Debian, Ubuntu:  apt-get install redis-server',
    '  - macOS:           brew install redis',
    '  - Docker:          docker run -p 6379:6379 redis:7 --appendonly yes   and   REDIS_URL=redis://127.0.0.1:6379',
    '  - your own Redis:  REDIS_URL=redis://user:password@host:6379',
  ].join('\n');
}

async function installedServer(path: string): Promise<RedisBinary | undefined> {
  for (const folder of path.split(':').filter((part) => part !== '')) {
    for (const program of programs) {
      const found = await tryServer(resolve(folder, program), '');
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

async function unpackedServer(folder: string): Promise<RedisBinary | undefined> {
  const libraryPath = (await libraryFolders(folder)).join(':');
  for (const program of programs) {
    const found = await tryServer(join(folder, 'usr', 'bin', program), libraryPath);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The server at `command`, if it runs here and is new enough. */
async function tryServer(command: string, libraryPath: string): Promise<RedisBinary | undefined> {
  if (!existsSync(command)) return undefined;
  try {
    const { stdout } = await runFile(command, ['--version'], {
      env: redisEnvironment(libraryPath),
      timeout: 10_000,
    });
    const version = /v=(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
    if (version === undefined || Number.parseInt(version, 10) < oldestMajor) return undefined;
    return { command, libraryPath, version };
  } catch {
    return undefined;
  }
}

/** The environment that a server from {@link RedisBinary} runs in. */
export function redisEnvironment(libraryPath: string): NodeJS.ProcessEnv {
  const libraries = libraryPath === '' ? {} : { LD_LIBRARY_PATH: libraryPath };
  return { PATH: process.env.PATH, LC_ALL: 'C', ...libraries };
}

/** `usr/lib/<machine>` and `lib/<machine>` of an unpacked tree. */
async function libraryFolders(root: string): Promise<string[]> {
  const folders: string[] = [];
  for (const parent of [join(root, 'usr', 'lib'), join(root, 'lib')]) {
    const entries = await readdir(parent, { withFileTypes: true }).catch(() => []);
    folders.push(...entries.filter((entry) => entry.isDirectory()).map((entry) => join(parent, entry.name)));
  }
  return folders;
}

/** Unpacks beside the target and renames, so that two starts at once or an interruption leave a whole folder or none. */
async function provision(parent: string, path: string): Promise<RedisBinary> {
  await mkdir(parent, { recursive: true });
  const half = await mkdtemp(join(parent, 'redis-bin-'));
  try {
    await unpackPackages(half, path);
    const target = join(parent, 'redis-bin');
    if ((await unpackedServer(half)) === undefined)
      throw new StartError('the downloaded Redis does not run on this system');
    if ((await unpackedServer(target)) === undefined) {
      await rm(target, { recursive: true, force: true });
      await rename(join(half), target);
    }
    const binary = await unpackedServer(target);
    if (binary === undefined) throw new StartError(`the Redis in ${target} does not run; delete that folder`);
    return binary;
  } finally {
    await rm(half, { recursive: true, force: true });
  }
}

/** Tries the system's package lists first; they may be missing or outdated, so then fetches lists of our own. */
async function unpackPackages(target: string, path: string): Promise<void> {
  const work = join(target, 'work');
  const apt = (args: readonly string[]): Promise<string> => runApt(args, work, path);
  const cache = ['-o', `Dir::Cache=${join(work, 'cache')}`, '-o', 'APT::Sandbox::User=root'];
  const lists = ['-o', `Dir::State=${join(work, 'state')}`, '-o', 'Dir::State::status=/var/lib/dpkg/status'];
  for (const folder of ['cache/archives/partial', 'state/lists/partial']) {
    await mkdir(join(work, folder), { recursive: true });
  }
  try {
    await downloadPackages(apt, cache);
  } catch {
    await apt([...cache, ...lists, 'update']);
    await downloadPackages(apt, [...cache, ...lists]);
  }
  for (const name of await readdir(work)) {
    if (name.endsWith('.deb'))
      await runFile('dpkg', ['-x', join(work, name), target], { timeout: stepTimeoutMs });
  }
  await rm(work, { recursive: true, force: true });
}

/** Downloads the server and whatever it needs that is not installed; a simulated install names these packages. */
async function downloadPackages(
  apt: (args: readonly string[]) => Promise<string>,
  flags: readonly string[],
): Promise<void> {
  const failures: unknown[] = [];
  for (const wanted of programs) {
    try {
      const plan = await apt([...flags, 'install', '--simulate', '--no-install-recommends', wanted]);
      const names = [...plan.matchAll(/^Inst (\S+)/gm)].flatMap((match) => match[1] ?? []);
      await apt([...flags, 'download', ...(names.length === 0 ? [wanted] : names)]);
      return;
    } catch (error) {
      failures.push(error);
    }
  }
  throw new StartError(messageOf(failures[0]), failures[0]);
}

/** @returns the standard output. */
async function runApt(args: readonly string[], cwd: string, path: string): Promise<string> {
  try {
    const env = { PATH: path, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    const { stdout } = await runFile('apt-get', ['-q', ...args], { cwd, env, timeout: stepTimeoutMs });
    return stdout;
  } catch (error) {
    throw new StartError(`apt-get failed: ${lastErrorLine(error)}`, error);
  }
}

function lastErrorLine(error: unknown): string {
  const { code, stderr } = error as { code?: unknown; stderr?: string };
  if (code === 'ENOENT') return 'it is not on this system';
  const lines = (stderr ?? '').split('\n').filter((line) => line.startsWith('E:'));
  return lines.at(-1) ?? messageOf(error);
}
