import type { SettingName } from './settings.ts';

/**
 * Settings of earlier versions by the name that they have now. A process that is given an old one does not start: it would run
 * with a default that nobody chose. `unit` belongs behind the number, which was bare before.
 */
export const renamedSettings: Readonly<
  Record<string, { readonly name: SettingName; readonly unit?: 's' | 'ms' }>
> = {
  ACCOUNT_NAME_HOLD: { name: 'DELETED_USERNAME_RETENTION' },
  ASSET_LIST: { name: 'ASSET_SYNC' },
  CMC_API_KEY: { name: 'COINMARKETCAP_API_KEY' },
  CMC_BASE_URL: { name: 'COINMARKETCAP_BASE_URL' },
  CMC_CALLS_PER_MINUTE: { name: 'COINMARKETCAP_CALLS_PER_MINUTE' },
  CMC_CREDITS_PER_MONTH: { name: 'COINMARKETCAP_CREDITS_PER_MONTH' },
  CMC_MONTH_STARTS_ON: { name: 'COINMARKETCAP_MONTH_STARTS_ON' },
  CMC_VERSION: { name: 'COINMARKETCAP_VERSION' },
  HISTORY_KEEP_1H: { name: 'HISTORY_RETENTION_1H' },
  HISTORY_KEEP_5M: { name: 'HISTORY_RETENTION_5M' },
  JOB_DEADLINE_SECONDS: { name: 'JOB_DEADLINE', unit: 's' },
  NOT_FOUND_SECONDS: { name: 'NEGATIVE_CACHE_TTL', unit: 's' },
  PRICEPOOL_RECORD: { name: 'HTTP_RECORD_DIR' },
  PROVIDER_FAILOVER_MS: { name: 'PROVIDER_FAILOVER_AFTER', unit: 'ms' },
  PROVIDER_FAILURES: { name: 'BREAKER_FAILURE_THRESHOLD' },
  PROVIDER_PAUSE_SECONDS: { name: 'BREAKER_MAX_OPEN', unit: 's' },
  QUOTE_FRESH_SECONDS: { name: 'QUOTE_TTL', unit: 's' },
  QUOTE_RETENTION: { name: 'QUOTE_STALE_TTL' },
  READ_WAIT_MS: { name: 'READ_WAIT', unit: 'ms' },
  RECORDED_DIR: { name: 'HTTP_REPLAY_DIR' },
  STREAM_RENEW_SECONDS: { name: 'STREAM_RENEW_AFTER', unit: 's' },
  UPSTREAM_TIMEOUT_MS: { name: 'UPSTREAM_TIMEOUT', unit: 'ms' },
};
