import { providerSettings } from './provider-settings.ts';
import {
  addresses,
  decimal,
  duration,
  integer,
  milliseconds,
  oneOf,
  origins,
  someOf,
  text,
  url,
} from './setting.ts';

/**
 * Every setting of every process, by the name of its environment variable. Documentation, `.env.example` and types are
 * derived from this table.
 */
export const settings = {
  APP_ENV: oneOf(['development', 'test', 'production'], {
    default: 'development',
    description: 'Kind of deployment. In production nothing is embedded and secrets must be given.',
  }),
  HOST: text({ default: '127.0.0.1', description: 'Address that the API listens on.' }),
  PORT: integer({
    default: '8080',
    min: 0,
    max: 65_535,
    description: 'Port of the API; 0 takes any free one.',
  }),
  LOG_LEVEL: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'Lowest level that is logged.',
  }),
  LOG_FILE: text({ description: 'File that log lines are appended to; standard output when absent.' }),
  CORS_ORIGINS: origins({
    default: '',
    description: 'Origins that browsers may call from. In development any localhost origin is allowed too.',
  }),
  METRICS_TOKEN: text({
    sensitive: true,
    description:
      'Bearer token required by GET /metrics; without it only loopback addresses may read metrics.',
  }),

  DATABASE_URL: url(['postgres', 'postgresql'], {
    sensitive: true,
    description: 'Postgres to use. Absent (and no DB_HOST): `npm start` runs a private one.',
  }),
  DB_HOST: text({ description: 'Postgres host, instead of DATABASE_URL.' }),
  DB_PORT: integer({ default: '5432', min: 1, max: 65_535, description: 'Postgres port, with DB_HOST.' }),
  DB_USER: text({ default: 'pricepool', description: 'Postgres user, with DB_HOST.' }),
  DB_PASSWORD: text({ sensitive: true, description: 'Postgres password, with DB_HOST.' }),
  DB_NAME: text({ default: 'pricepool', description: 'Postgres database, with DB_HOST.' }),
  DB_SSL_MODE: oneOf(['disable', 'require', 'verify-full'], {
    default: 'disable',
    description: 'TLS to Postgres: none, encrypted, or encrypted with a checked certificate.',
  }),
  DB_POOL_SIZE: integer({
    default: '10',
    min: 2,
    max: 200,
    description: 'Postgres connections of one process.',
  }),

  REDIS_URL: url(['redis', 'rediss'], {
    sensitive: true,
    description: 'Redis to use (7 or later, noeviction, appendonly). Absent: `npm start` runs a private one.',
  }),
  REDIS_KEY_PREFIX: text({
    default: 'pricepool',
    description: 'Prefix of every Redis key, so that several deployments can share one Redis.',
  }),

  JWT_SECRET: text({
    sensitive: true,
    description: 'Secret that signs access tokens, at least 32 characters. Required in production.',
  }),
  JWT_SECRET_PREVIOUS: text({
    sensitive: true,
    description: 'The previous secret: its tokens stay valid, so that changing JWT_SECRET logs nobody out.',
  }),
  JWT_EXPIRES_IN: duration({ default: '15m', description: 'Lifetime of an access token.' }),
  REFRESH_EXPIRES_IN: duration({
    default: '30d',
    description: 'Time without a refresh after which a session ends.',
  }),
  STREAM_TICKET_EXPIRES_IN: duration({
    default: '60s',
    // A stream is sent the next one after half of a life, but looks only every 5 s.
    minSeconds: 15,
    description: 'Lifetime of a stream ticket, for clients that cannot send headers.',
  }),
  REGISTRATION: oneOf(['open', 'closed'], {
    default: 'open',
    description: 'Whether anyone may create an account; when closed, only admins can.',
  }),
  REGISTRATIONS_PER_HOUR: integer({
    default: '20',
    min: 1,
    max: 1_000_000,
    description: 'Accounts that may be created from one address per hour.',
  }),
  DELETED_USERNAME_RETENTION: duration({
    default: '30d',
    description: 'How long the username and e-mail of a deleted account stay reserved.',
  }),
  BCRYPT_COST: integer({
    default: '11',
    min: 4,
    max: 15,
    description: 'Work factor of password hashes (2^n rounds).',
  }),

  SMTP_URL: url(['smtp', 'smtps'], {
    sensitive: true,
    description:
      'Mail server for password resets. Absent: an operator creates the reset token (npm run password:reset).',
  }),
  MAIL_FROM: text({
    default: 'Pricepool <no-reply@localhost>',
    description: 'Sender of mail.',
  }),
  PUBLIC_URL: url(['http', 'https'], {
    description: 'Public root URL of this deployment, for links in mail.',
  }),

  RATE_LIMIT_USER: integer({
    default: '6000',
    min: 1,
    max: 100_000_000,
    description: 'Requests per minute that one user may make across the whole fleet, not counting API keys.',
  }),
  RATE_LIMIT_KEY: integer({
    default: '6000',
    min: 1,
    max: 100_000_000,
    description: 'Requests per minute that may be made with one API key.',
  }),
  RATE_LIMIT_ADDRESS: integer({
    default: '600',
    min: 1,
    max: 100_000_000,
    description: 'Requests per minute that one address (IPv6: one /64) may make without a valid token.',
  }),
  TRUSTED_PROXIES: addresses({
    default: '',
    description:
      'Proxies whose X-Forwarded-For is trusted and whose connections are not limited; for all others the address of the connection is used.',
  }),

  HTTPS_PROXY: url(['http', 'https'], {
    sensitive: true,
    description:
      'Proxy for calls to price sources over https; https_proxy is read too. Absent: HTTP_PROXY, or none. Webhooks do not use it.',
  }),
  HTTP_PROXY: url(['http', 'https'], {
    sensitive: true,
    description: 'Proxy for calls to price sources over http; http_proxy is read too.',
  }),
  NO_PROXY: text({
    description:
      'Comma-separated hosts that are called without a proxy, or *; no_proxy is read too. Loopback addresses always are.',
  }),

  ...providerSettings,
  COINGECKO_BASE_URL: url(['http', 'https'], {
    description: 'Root URL of the CoinGecko API, including /api/v3. Absent: the one for COINGECKO_PLAN.',
  }),
  COINGECKO_API_KEY: text({ sensitive: true, description: 'CoinGecko key of the Demo or Pro plan.' }),
  COINGECKO_PLAN: oneOf(['keyless', 'demo', 'pro'], {
    default: 'keyless',
    description: 'CoinGecko plan; sets the root URL and the name of the key header.',
  }),
  UPSTREAM_CALLS_PER_MINUTE: integer({
    min: 1,
    max: 10_000,
    description:
      'Upstream calls that the whole fleet may make in any 60 seconds. Absent: the limit of the plan (30; keyless CoinGecko 10; pro as its key reports).',
  }),
  UPSTREAM_CREDITS_PER_MONTH: integer({
    min: 0,
    max: 1_000_000_000,
    description:
      'Credits that the whole fleet may spend in a month; 0 for no limit. Absent: the limit of the plan (demo 10000, pro as its key reports, otherwise no limit).',
  }),
  UPSTREAM_MONTH_STARTS_ON: integer({
    default: '1',
    min: 1,
    max: 31,
    description: 'Day of the month (UTC) on which the credits renew; in a shorter month, its last day.',
  }),
  UPSTREAM_CREDITS_CHARGED: oneOf(['always', 'unless_refused', 'when_successful'], {
    default: 'unless_refused',
    description:
      'Calls that cost credits: all calls sent, those not refused (4xx, 429), or those answered 200. A call without an answer always counts.',
  }),
  COINMARKETCAP_API_KEY: text({ sensitive: true, description: 'CoinMarketCap key.' }),
  COINMARKETCAP_CALLS_PER_MINUTE: integer({
    default: '30',
    min: 1,
    max: 10_000,
    description: 'Calls to CoinMarketCap that the whole fleet may make in any 60 seconds.',
  }),
  COINMARKETCAP_CREDITS_PER_MONTH: integer({
    default: '15000',
    min: 0,
    max: 1_000_000_000,
    description: 'Credits of CoinMarketCap that the whole fleet may spend in a month; 0 for no limit.',
  }),
  COINMARKETCAP_MONTH_STARTS_ON: integer({
    default: '1',
    min: 1,
    max: 31,
    description: 'Day of the month (UTC) on which these credits renew.',
  }),
  DEFILLAMA_CALLS_PER_MINUTE: integer({
    default: '60',
    min: 1,
    max: 10_000,
    description: 'Calls to DefiLlama that the whole fleet may make in any 60 seconds.',
  }),
  UPSTREAM_TIMEOUT: milliseconds({
    default: '8s',
    minMs: 100,
    maxMs: 60_000,
    description: 'Longest time that one upstream call may take, including the body.',
  }),
  UPSTREAM_MAX_BODY_BYTES: integer({
    default: '5242880',
    min: 65_536,
    max: 104_857_600,
    description: 'Largest upstream response (bytes) that is read.',
  }),
  ASSET_SYNC: oneOf(['daily', 'off'], {
    default: 'daily',
    description:
      "Whether the price source's list of assets is fetched, one upstream call a day; without it there is no search and no lookup by symbol.",
  }),
  ASSET_RANK_PAGES: integer({
    default: '4',
    min: 0,
    max: 40,
    description:
      'Pages of the ranking (250 assets, one upstream call each) that are fetched after the list. Ranks decide which asset a shared symbol means.',
  }),
  HISTORY_RETENTION_5M: duration({
    default: '7d',
    description: 'How long five-minute price history is kept.',
  }),
  HISTORY_RETENTION_1H: duration({
    default: '100d',
    description: 'How long hourly price history is kept. Daily history is kept forever.',
  }),
  WEBHOOK_SECRET: text({
    sensitive: true,
    description:
      'Secret from which the signing secrets of all users are derived, at least 32 characters. Absent: JWT_SECRET; changing it then changes them too.',
  }),
  WEBHOOK_HTTP: oneOf(['on', 'off'], {
    description: 'Whether webhooks may also go to http:// URLs. Absent: off in production, otherwise on.',
  }),
  WEBHOOK_ALLOWED_NETWORKS: addresses({
    default: '',
    description:
      'Non-public networks that webhooks may be sent to, such as 192.168.0.0/16 for receivers at home.',
  }),
  WEBHOOK_RETENTION: duration({
    default: '30d',
    description: 'How long delivered and given-up webhooks are kept.',
  }),
  PORTFOLIO_TRANSACTION_LIMIT: integer({
    default: '250000',
    min: 1,
    max: 10_000_000,
    description: 'Transactions that one portfolio may have.',
  }),
  PORTFOLIO_JOBS_PER_USER: integer({
    default: '20',
    min: 1,
    max: 10_000,
    description: 'Unfinished jobs on portfolios (performance, imports, rebuilds) that one user may have.',
  }),

  QUOTE_TTL: duration({
    default: '60s',
    maxSeconds: 86_400,
    description: 'Age up to which a quote counts as fresh.',
  }),
  QUOTE_STALE_TTL: duration({
    default: '24h',
    description: 'How long a quote is kept, to be served as stale when no newer one is available.',
  }),
  WARMING: oneOf(['on', 'off'], {
    default: 'on',
    description:
      'Whether quotes that are read are kept fresh, the most read first, as far as the budget allows.',
  }),
  WARM_WINDOW: duration({
    default: '10m',
    description: 'With WARMING: how long after it was last read a quote is kept fresh.',
  }),
  NEGATIVE_CACHE_TTL: duration({
    default: '5m',
    maxSeconds: 86_400,
    description: 'How long an asset id that the provider does not know is remembered as such.',
  }),
  READ_WAIT: milliseconds({
    default: '8s',
    minMs: 0,
    maxMs: 30_000,
    description:
      'Longest wait of a price read for a quote that is not cached yet. Under heavy demand a read may need two upstream calls: 4 to 7 s at 30 calls a minute.',
  }),

  STREAMS_PER_USER: integer({
    default: '100',
    min: 1,
    max: 1_000_000,
    description: 'Streams that one user may have open in one API process.',
  }),
  STREAMS_PER_ADDRESS: integer({
    default: '500',
    min: 1,
    max: 1_000_000,
    description: 'Streams that one address (of IPv6: one /64) may have open in one API process.',
  }),
  STREAMS_PER_PROCESS: integer({
    default: '15000',
    min: 1,
    max: 1_000_000,
    description: 'Streams that one API process accepts; beyond that, clients are asked to reconnect later.',
  }),
  STREAM_RENEW_AFTER: duration({
    default: '15s',
    maxSeconds: 86_400,
    description: 'Age at which a quote shown by a stream is fetched again, as far as the budget allows.',
  }),

  JOB_DEADLINE: duration({
    default: '5m',
    maxSeconds: 86_400,
    description:
      'Time after its submission at which a job stops waiting for quotes and completes with what it has.',
  }),
  JOB_BACKLOG_LIMIT: integer({
    default: '20000',
    min: 1,
    max: 10_000_000,
    description: 'Unfinished jobs of all users above which new jobs are refused with 503.',
  }),
  JOB_BACKLOG_PER_USER: integer({
    default: '1000',
    min: 1,
    max: 10_000_000,
    description: 'Unfinished jobs that one user may have.',
  }),
  JOB_RETENTION: duration({
    default: '24h',
    description: 'How long finished jobs and their results are kept.',
  }),
  WORKER_QUEUES: someOf(['requests', 'refresh', 'maintenance', 'mail', 'books', 'portfolios', 'webhooks'], {
    default: 'requests,refresh,maintenance,mail,books,portfolios,webhooks',
    description: 'Queues that this worker process serves.',
  }),
  WORKER_CONCURRENCY: integer({
    default: '2000',
    min: 1,
    max: 10_000,
    description:
      'Client jobs that one worker process holds at once. Most only wait and cost memory (60 kB each with 20 coins, 350 kB with 250); with a small number, waiting jobs keep others from starting.',
  }),

  MARKET_PORT: integer({
    default: '8090',
    min: 0,
    max: 65_535,
    description: 'Port of the embedded market, not that of the API; 0 takes any free one.',
  }),
  MARKET_SEED: integer({
    default: '1',
    min: 0,
    max: 2_147_483_647,
    description: 'Seed of the simulated prices.',
  }),
  REPLAY_DIR: text({ description: 'Folder of CoinGecko CSV exports; required with PROVIDER=replay.' }),
  REPLAY_SPEED: decimal({
    default: '86400',
    min: 0,
    max: 1_000_000_000,
    description: 'Seconds of history that pass in one real second of a replay (86400: a day a second).',
  }),
  PRICEPOOL_DATA_DIR: text({
    default: '.pricepool',
    description: 'Folder of the embedded Postgres and Redis, and of the file with their URLs.',
  }),
} as const;

export type SettingName = keyof typeof settings;

/** Values of all settings. */
export type SettingValues = {
  readonly [N in SettingName]: ReturnType<(typeof settings)[N]['parse']>;
};
