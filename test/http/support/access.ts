/** The real application with real accounts, for tests of accounts and access. */
import { openDatabase } from '../../../db/connection.ts';
import { directoryOver } from '../../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../../src/features/assets/asset-index.ts';
import { buildAccess, type Access, type AccessRequest } from '../../../src/access.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger, type Logger } from '../../../src/platform/observability/logger.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';
import { createShutdown } from '../../../src/platform/observability/shutdown.ts';
import { closeRedis, openRedis } from '../../../src/platform/redis/connections.ts';
import { createTestDatabase } from '../../support/database.ts';
import { uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { startApi, type TestApi } from './ports.ts';
import { realPortfolios, type RealPortfoliosRequest } from './real-portfolios.ts';
import { testSecret } from './stand-in-access.ts';
import type { Knex } from 'knex';

const bitcoin = { id: 'bitcoin', symbol: 'btc', name: 'Bitcoin', rank: 1, image: null, active: true };
/** The list of assets, so that what needs it gets to work. */
const fewAssets = createAssetIndex([searchable({ ...bitcoin, platformsJson: '{}' })]);

/** Settings that tests may change. */
export type TestEnvironment = Readonly<Record<string, string>>;

/** An API with real accounts over a database and a key prefix of its own. */
export interface AccessApi extends TestApi {
  readonly knex: Knex;
  readonly access: Access;
  readonly prefix: string;
  readonly databaseUrl: string;
  /** Closes the API and everything behind it. */
  end(): Promise<void>;
}

interface AccessApiOptions {
  readonly environment?: TestEnvironment;
  readonly log?: Logger;
  readonly requestMail?: AccessRequest['requestMail'];
  /** Share database and prefix with another one, as two processes of a fleet do. */
  readonly beside?: AccessApi;
  /** Prices for transactions that state no value, and who hears of changed books. */
  readonly books?: Pick<RealPortfoliosRequest, 'prices' | 'updateBooks'>;
}

/** Starts the real application with real accounts; prices and jobs are stand-ins. */
export async function startAccessApi({
  environment = {},
  log = silentLogger(),
  requestMail,
  beside,
  books = {},
}: AccessApiOptions = {}): Promise<AccessApi> {
  const { redisUrl } = await services();
  const database = beside === undefined ? await createTestDatabase() : undefined;
  const databaseUrl = database?.url ?? beside?.databaseUrl ?? '';
  const prefix = beside?.prefix ?? uniquePrefix();
  const config = loadConfig({ APP_ENV: 'test', JWT_SECRET: testSecret, BCRYPT_COST: '4', ...environment });
  const knex = openDatabase({ database: { connectionString: databaseUrl, ssl: false }, poolSize: 8 });
  const redis = openRedis({ url: redisUrl, role: 'command', name: 'test', log });
  const subscriber = openRedis({ url: redisUrl, role: 'subscriber', name: 'test-subscriber', log });
  const shutdown = createShutdown(log);
  const keys = createRedisKeys(prefix);
  const access = buildAccess({
    config,
    log,
    shutdown,
    pipeline: { knex, redis, subscriber, keys, clock: systemClock },
    requestMail,
  });
  await access.revocations.whenKnown(5_000);
  const assets = directoryOver(() => fewAssets);
  const portfolios = realPortfolios({ config, knex, assets, ...books });
  const api = await startApi({ ...access, ...portfolios, config, log, assets });
  return {
    ...api,
    knex,
    access,
    prefix,
    databaseUrl,
    async end() {
      await api.close(0);
      await shutdown.run('the test is over');
      await Promise.all([closeRedis(redis), closeRedis(subscriber)]);
      await knex.destroy();
      await database?.drop();
    },
  };
}
