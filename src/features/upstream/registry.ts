/** The price sources, one row each. A new one is a folder with its provider, and a row here. */
import { createHash } from 'node:crypto';
import type { Config } from '../../platform/config/load-config.ts';
import type { PriceSource } from '../../platform/config/price-source.ts';
import { primaryLimits, type UpstreamLimits } from '../../platform/config/upstream-limits.ts';
import { createCoinGeckoProvider } from './coingecko/coingecko-provider.ts';
import { createCoinMarketCapProvider, type IdentifyAssets } from './coinmarketcap/coinmarketcap-provider.ts';
import { createDefiLlamaProvider } from './defillama/defillama-provider.ts';
import type { PriceProvider, ProviderOptions } from './provider.ts';

/** What a provider may need besides its settings. */
export interface ProviderContext extends ProviderOptions {
  readonly identify: IdentifyAssets;
}

interface ProviderRow {
  /** @throws {Error} for a source that cannot be used as configured. */
  create(config: Config, context: ProviderContext): PriceProvider;
  /** The budget that pays for its calls: one per provider and key, because each key has its own allowance. */
  budget(config: Config): { readonly key: string; readonly limits: UpstreamLimits };
  /** Root of its API. */
  baseUrl(config: Config): string;
  /** The plan in use. Absent: it has only one. */
  plan?(config: Config): string;
  /** The key used for calls, which must never be written anywhere. */
  apiKey?(config: Config): string | undefined;
  /** Whether it reports the limits of our key. Absent: it does not. */
  reportsLimits?(config: Config): boolean;
}

/** By the name used in settings, quotes and metrics. */
export const providers: Readonly<Record<PriceSource['provider'], ProviderRow>> = {
  coingecko: {
    ...coinGeckoRow('coingecko'),
    // Only paid plans do.
    reportsLimits: ({ COINGECKO_PLAN: plan }) => plan === 'pro',
  },
  simulated: coinGeckoRow('simulated'),
  replay: coinGeckoRow('replay'),
  recorded: coinGeckoRow('recorded'),
  coinmarketcap: {
    baseUrl: ({ COINMARKETCAP_BASE_URL: root }) => root,
    create: (
      { COINMARKETCAP_BASE_URL: baseUrl, COINMARKETCAP_VERSION: version, COINMARKETCAP_API_KEY: apiKey },
      context,
    ) => createCoinMarketCapProvider({ ...context, baseUrl, version, apiKey }),
    budget: (config) => ({
      key: `coinmarketcap-${fingerprintOf(config.COINMARKETCAP_API_KEY)}`,
      limits: {
        callsPerMinute: config.COINMARKETCAP_CALLS_PER_MINUTE,
        creditsPerMonth: config.COINMARKETCAP_CREDITS_PER_MONTH || undefined,
        monthStartsOn: config.COINMARKETCAP_MONTH_STARTS_ON,
        set: { callsPerMinute: true, creditsPerMonth: true },
      },
    }),
    apiKey: ({ COINMARKETCAP_API_KEY: key }) => key,
  },
  defillama: {
    baseUrl: ({ DEFILLAMA_BASE_URL: root }) => root,
    create: ({ DEFILLAMA_BASE_URL: baseUrl }, context) => createDefiLlamaProvider({ ...context, baseUrl }),
    budget: (config) => ({
      key: 'defillama',
      limits: {
        callsPerMinute: config.DEFILLAMA_CALLS_PER_MINUTE,
        creditsPerMonth: undefined,
        monthStartsOn: 1,
        set: { callsPerMinute: true, creditsPerMonth: true },
      },
    }),
  },
};

const rootOfPlan = {
  keyless: 'https://api.coingecko.com/api/v3',
  demo: 'https://api.coingecko.com/api/v3',
  pro: 'https://pro-api.coingecko.com/api/v3',
} as const;

function coinGeckoRoot({ COINGECKO_PLAN: plan, COINGECKO_BASE_URL: given }: Config): string {
  return given ?? rootOfPlan[plan];
}

/** CoinGecko, and sources that speak its API: our own market and recorded exchanges. */
function coinGeckoRow(source: 'coingecko' | 'simulated' | 'replay' | 'recorded'): ProviderRow {
  return {
    create(config, context) {
      const { COINGECKO_PLAN: plan, COINGECKO_API_KEY: apiKey } = config;
      if ((source === 'simulated' || source === 'replay') && config.COINGECKO_BASE_URL === undefined)
        throw new Error(
          `PROVIDER=${source} needs the simulated market: run \`npm start\`, or set COINGECKO_BASE_URL to the URL of one`,
        );
      return createCoinGeckoProvider({
        ...context,
        baseUrl: coinGeckoRoot(config),
        plan,
        apiKey,
        source,
      });
    },
    budget: coinGeckoBudget,
    baseUrl: coinGeckoRoot,
    plan: ({ COINGECKO_PLAN: plan }) => plan,
    apiKey: ({ COINGECKO_API_KEY: key }) => key,
  };
}

/**
 * All sources that speak CoinGecko's API share one budget, which is named after the configured source if that is one of them.
 */
function coinGeckoBudget(config: Config): ReturnType<ProviderRow['budget']> {
  const { PROVIDER = 'simulated', COINGECKO_PLAN: plan, COINGECKO_API_KEY: key } = config;
  const source = providers[PROVIDER].budget === coinGeckoBudget ? PROVIDER : 'coingecko';
  // Without PROVIDER, a key or a URL selects CoinGecko.
  const limits = primaryLimits(config.PROVIDER === undefined ? config : { ...config, PROVIDER: source });
  return { key: `${source}-${plan}-${fingerprintOf(key)}`, limits };
}

/** The key itself must not be readable from the name. */
function fingerprintOf(key: string | undefined): string {
  return createHash('sha256')
    .update(key ?? 'keyless')
    .digest('hex')
    .slice(0, 8);
}
