/** What is brought up and what is configured: each of DATABASE_URL, REDIS_URL and PROVIDER replaces one embedded part. */
import type { Config } from '../src/platform/config/load-config.ts';
import { priceSourceOf, type PriceSource } from '../src/platform/config/price-source.ts';
import { StartError } from './start-error.ts';

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
    `Nothing embedded is started with APP_ENV=production. Configure ${missing.join(', ')}.`,
  );
}
