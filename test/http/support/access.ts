/** The real application with real accounts, for tests of accounts and access. */
import { openDatabase } from '../../../db/connection.ts';
import { directoryOver } from '../../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../../src/features/assets/asset-index.ts';
import { createAccountService, type AccountService } from '../../../src/features/accounts/account-service.ts';
import type { RequestResetMail } from '../../../src/features/accounts/accounts.ts';
import { createPasswords, type Passwords } from '../../../src/features/accounts/password-hashing.ts';
import { createSessionQueries, type SessionUser } from '../../../src/features/accounts/queries/sessions.ts';
import { createUserQueries, type UserQueries } from '../../../src/features/accounts/queries/users.ts';
import { hashOfSecret, newSecret } from '../../../src/features/accounts/secrets.ts';
import { credentialLifeOf } from '../../../src/features/accounts/tokens.ts';
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
  readonly access: AccountService & { readonly users: UserQueries; readonly passwords: Passwords };
  readonly prefix: string;
  readonly databaseUrl: string;
  /** Opens a session without a login. */
  openSession(user: SessionUser): Promise<{ readonly token: string; readonly refreshToken: string }>;
  /** Closes the API and everything behind it. */
  end(): Promise<void>;
}

interface AccessApiOptions {
  readonly environment?: TestEnvironment;
  readonly log?: Logger;
  readonly requestMail?: RequestResetMail | undefined;
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
  const platform = { config, log, clock: systemClock, shutdown, knex, redis, subscriber, keys };
  const passwords = createPasswords({ cost: config.BCRYPT_COST, log });
  const accounts = createAccountService(
    { ...platform, queues: undefined as never },
    { requestMail, passwords },
  );
  const life = credentialLifeOf(config);
  const access = { ...accounts, passwords, users: createUserQueries(knex, life) };
  const sessions = createSessionQueries(knex, life);
  await access.revocations.whenKnown(5_000);
  const assets = directoryOver(() => fewAssets);
  const portfolios = realPortfolios({ config, knex, assets, ...books });
  const api = await startApi({ ...accounts, ...portfolios, config, log, assets });
  return {
    ...api,
    knex,
    access,
    prefix,
    databaseUrl,
    async openSession({ id: userId, role, generation }) {
      const refreshToken = newSecret('refresh');
      const opened = await sessions.open({
        userId,
        generation,
        refreshHash: hashOfSecret(refreshToken),
        expiresInSeconds: config.REFRESH_EXPIRES_IN,
        by: {},
      });
      if (opened === undefined) throw new Error('the account is gone');
      await access.revocations.announce(opened.revocations);
      const token = access.tokens.issue({ userId, role, generation, sessionId: opened.id });
      return { token, refreshToken };
    },
    async end() {
      await api.close(0);
      await shutdown.run('the test is over');
      await Promise.all([closeRedis(redis), closeRedis(subscriber)]);
      await knex.destroy();
      await database?.drop();
    },
  };
}
