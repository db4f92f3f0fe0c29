/**
 * The step before PM2 starts the fleet (`npm run fleet`): checks that everything the processes share is configured, and
 * brings the schema up to date once. Without it PM2 would restart four processes for ever that all say the same.
 */
import { checkConnection, openDatabase } from '../db/connection.ts';
import { migrate } from '../db/migrate.ts';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { ConfigError, loadConfig, type Config } from '../src/platform/config/load-config.ts';
import { messageOf } from '../src/domain/errors.ts';
import { StartError } from './start-error.ts';

function missingFrom(config: Config): readonly string[] {
  const missing: string[] = [];
  if (config.database === undefined) missing.push('DATABASE_URL (or DB_HOST): the Postgres of the fleet');
  if (config.REDIS_URL === undefined) missing.push('REDIS_URL: the Redis of the fleet');
  if (config.JWT_SECRET === undefined) {
    missing.push('JWT_SECRET: otherwise each API process would refuse the tokens of the others');
  }
  if (
    config.PROVIDER === undefined ||
    (['simulated', 'replay'].includes(config.PROVIDER) && config.COINGECKO_BASE_URL === undefined)
  ) {
    missing.push(
      'PROVIDER=coingecko (or simulated or replay, with the market as COINGECKO_BASE_URL): the price source',
    );
  }
  return missing;
}

async function prepare(): Promise<void> {
  loadEnvironmentFile();
  const config = loadConfig();
  const { database } = config;
  const missing = missingFrom(config);
  if (missing.length > 0 || database === undefined) {
    const lines = missing.map((line) => `  - ${line}`).join('\n');
    throw new StartError(`The fleet needs these settings (npm start needs none):\n${lines}`);
  }
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    await checkConnection(knex, { database });
    const applied = await migrate(knex);
    process.stdout.write(
      applied.length === 0 ? 'The schema is up to date\n' : `Applied ${applied.join(', ')}\n`,
    );
  } catch (error) {
    throw new StartError(`The schema could not be migrated: ${messageOf(error)}`, error);
  } finally {
    await knex.destroy();
  }
}

try {
  await prepare();
} catch (error) {
  if (!(error instanceof StartError || error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
