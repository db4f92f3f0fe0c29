/** What is brought up and what is configured: each of DATABASE_URL, REDIS_URL and PROVIDER replaces one embedded part. */
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { projectRoot } from './project-root.ts';
import { StartError } from './start-error.ts';
import type { Config } from '../src/platform/config/load-config.ts';
import { priceSourceOf, type PriceSource } from '../src/platform/config/price-source.ts';

export interface Plan {
  readonly postgres: boolean;
  readonly redis: boolean;
  readonly market: 'simulated' | 'replay' | undefined;
  /** Value of PROVIDER for the API and the workers. */
  readonly provider: PriceSource['provider'];
}

/**
 * Derives the plan from the configuration.
 * @throws {StartError} when something would have to be embedded in production.
 */
export function planOf(config: Config): Plan {
  const { provider, embedded } = priceSourceOf(config);
  const plan: Plan = {
    postgres: config.database === undefined,
    redis: config.REDIS_URL === undefined,
    market: embedded ? (provider === 'replay' ? 'replay' : 'simulated') : undefined,
    provider,
  };
  if (config.APP_ENV === 'production') refuseEmbedded(plan);
  return plan;
}

function refuseEmbedded(plan: Plan): void {
  const missing = [
    plan.postgres ? 'a Postgres (DATABASE_URL)' : '',
    plan.redis ? 'a Redis (REDIS_URL)' : '',
    plan.market === undefined ? '' : 'a price source (PROVIDER=coingecko, or COINGECKO_BASE_URL)',
  ].filter((part) => part !== '');
  if (missing.length === 0) return;
  throw new StartError(
    `With APP_ENV=production no embedded services are started. Configure ${missing.join(', ')}.`,
  );
}

/**
 * The folder of CoinGecko exports to replay.
 * @throws {StartError} when there is no such folder.
 */
export function replayFolderOf({ REPLAY_DIR }: Pick<Config, 'REPLAY_DIR'>): string {
  if (REPLAY_DIR === undefined)
    throw new StartError('PROVIDER=replay needs REPLAY_DIR: a folder of CoinGecko CSV exports');
  const folder = resolve(projectRoot, REPLAY_DIR);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new StartError(`REPLAY_DIR must be a folder of CoinGecko CSV exports: ${folder} does not exist`);
  return folder;
}

/** The secret of a data folder that signs access tokens: made once, so that tokens outlive a restart. */
export async function keptJwtSecret(dataDir: string): Promise<string> {
  const file = join(dataDir, 'jwt-secret');
  const kept = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (kept.length >= 32) return kept;
  const secret = randomBytes(48).toString('base64url');
  await writeFile(file, `${secret}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
  return secret;
}
