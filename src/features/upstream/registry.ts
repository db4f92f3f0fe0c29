/** The price sources, one row each. A new one is a folder with its provider, and a row here. */
import { createHash } from 'node:crypto';
import type { Config } from '../../platform/config/load-config.ts';
import type { PriceSource } from '../../platform/config/price-source.ts';
import { primaryLimits, type UpstreamLimits } from '../../platform/config/upstream-limits.ts';
import { createCoinGeckoProvider } from './coingecko/coingecko-provider.ts';
import { createCoinMarketCapProvider, type IdentifyAssets } from './coinmarketcap/coinmarketcap-provider.ts';
import { createDefiLlamaProvider } from './defillama/defillama-provider.ts';
import type { PriceProvider, ProviderOptions } from './provider.ts';

/** What a provider can be made of beside its settings. */
export interface ProviderContext extends ProviderOptions {
  readonly identify: IdentifyAssets;
}

interface ProviderRow {
  /** @throws {Error} for a source that cannot be used as configured. */
  create(config: Config, context: ProviderContext): PriceProvider;
  /** What pays for its calls: one budget per provider and key, because another key is another allowance. */
  budget(config: Config): { readonly key: string; readonly limits: UpstreamLimits };
  /** Root of its API. */
  baseUrl(config: Config): string;
  /** Which of its plans is meant. Absent: it has but one. */
  plan?(config: Config): string;
  /** The key that it is called with, which must not be written anywhere. */
  apiKey?(config: Config): string | undefined;
  /** Whether it tells the limits of our key. Absent: it does not. */
  tellsLimits?(config: Config): boolean;
}

/** By the name that settings, quotes and metrics have for it. */
export const providers: Readonly<Record<PriceSource['provider'], ProviderRow>> = {
  coingecko: {
    ...coinGeckoRow('coingecko'),
    // Only paid plans do.
    tellsLimits: ({ COINGECKO_PLAN: plan }) => plan === 'pro',
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

/** CoinGecko, and what speaks its API: the market of our own and recorded exchanges. */
function coinGeckoRow(source: 'coingecko' | 'simulated' | 'replay' | 'recorded'): ProviderRow {
  return {
    create(config, context) {
      const { COINGECKO_PLAN: plan, COINGECKO_API_KEY: apiKey } = config;
      if ((source === 'simulated' || source === 'replay') && config.COINGECKO_BASE_URL === undefined)
        throw new Error(
          `PROVIDER=${source} needs the embedded market: run \`npm start\`, or set COINGECKO_BASE_URL to one`,
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

/** All that speak CoinGecko's API have one budget, which has the name of the configured source where that is one of them. */
function coinGeckoBudget(config: Config): ReturnType<ProviderRow['budget']> {
  const { PROVIDER = 'simulated', COINGECKO_PLAN: plan, COINGECKO_API_KEY: key } = config;
  const source = providers[PROVIDER].budget === coinGeckoBudget ? PROVIDER : 'coingecko';
  // Without PROVIDER, a key or a URL says that CoinGecko is meant.
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
