import type { SettingValues } from './settings.ts';

/** Where prices come from. */
export interface PriceSource {
  readonly provider: NonNullable<SettingValues['PROVIDER']>;
  /** True when `npm start` has to bring a market. */
  readonly embedded: boolean;
}

/** Derives the price source. A CoinGecko key or URL selects CoinGecko, even without PROVIDER. */
export function priceSourceOf({
  PROVIDER,
  COINGECKO_API_KEY,
  COINGECKO_BASE_URL,
}: Pick<SettingValues, 'PROVIDER' | 'COINGECKO_API_KEY' | 'COINGECKO_BASE_URL'>): PriceSource {
  const real = COINGECKO_API_KEY !== undefined || COINGECKO_BASE_URL !== undefined;
  const provider = PROVIDER ?? (real ? 'coingecko' : 'simulated');
  const isMarket = provider === 'simulated' || provider === 'replay';
  return { provider, embedded: isMarket && COINGECKO_BASE_URL === undefined };
}
