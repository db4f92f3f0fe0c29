/**
 * The file in which a running `npm start` publishes the URLs of its embedded services for other commands. The URLs contain
 * passwords, so only the owner may read it. It is removed at the end of the run, but a killed run leaves it behind.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config, DatabaseConfig } from './load-config.ts';

/** URLs of the embedded services; configured ones are absent. */
export interface EmbeddedUrls {
  readonly database?: string;
  readonly redis?: string;
  readonly market?: string;
}

const fileName = 'urls.json';

/** Writes the whole file or nothing. */
export async function writeEmbeddedUrls(dataDir: string, urls: EmbeddedUrls): Promise<void> {
  const draft = join(dataDir, `${fileName}.${randomBytes(6).toString('hex')}`);
  await writeFile(draft, `${JSON.stringify(urls, null, 2)}\n`, { mode: 0o600 });
  await rename(draft, join(dataDir, fileName));
}

/** Removes the file; does nothing when there is none. */
export async function removeEmbeddedUrls(dataDir: string): Promise<void> {
  await rm(join(dataDir, fileName), { force: true });
}

/**
 * The configured Postgres, or else the one of the running `npm start` on PRICEPOOL_DATA_DIR. `hint` is added to the message
 * when it cannot be reached; empty for a configured one.
 * @throws {Error} when there is neither.
 */
export function usableDatabase(config: Config): {
  readonly database: DatabaseConfig;
  readonly hint: string;
} {
  if (config.database !== undefined) return { database: config.database, hint: '' };
  const path = resolve(config.PRICEPOOL_DATA_DIR, fileName);
  const url = databaseUrlIn(path);
  if (url === undefined) {
    throw new Error(
      `there is no database: set DATABASE_URL (or DB_HOST), or run npm start at the same time (${path} then has the URL of its Postgres)`,
    );
  }
  return {
    database: { connectionString: url, ssl: false },
    hint: `. The URL is from ${path}; if npm start is no longer running, start it again`,
  };
}

function databaseUrlIn(path: string): string | undefined {
  try {
    const { database } = JSON.parse(readFileSync(path, 'utf8')) as EmbeddedUrls;
    return typeof database === 'string' && URL.canParse(database) ? database : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES')
      throw new Error(
        `${path} cannot be read: run this command as the user who ran npm start, or set DATABASE_URL`,
        { cause: error },
      );
    return undefined;
  }
}
