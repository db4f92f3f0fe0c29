import { duration, integer, listOf, milliseconds, oneOf, text, url } from './setting.ts';

/** Price sources, with the notice that an operator sees for each at start-up. */
export const priceSources = {
  simulated: 'SIMULATED: a random walk, not the market. Never trade on it.',
  replay: 'REPLAYED: real history from files, not the present.',
  coingecko: 'CoinGecko',
  coinmarketcap: 'CoinMarketCap',
  defillama: 'DefiLlama, in usd only',
  recorded: 'RECORDED exchanges, not the present.',
} as const;

/** Settings of the price sources and their order. Part of the table in `settings.ts`. */
export const providerSettings = {
  PROVIDER: oneOf(Object.keys(priceSources) as (keyof typeof priceSources)[], {
    description: 'Price source. Absent: `npm start` runs the simulated market; in production it is required.',
  }),
  PROVIDER_FALLBACKS: listOf(['coingecko', 'coinmarketcap', 'defillama'], {
    default: '',
    description: 'Price sources to try, in order, when the previous one fails or has no budget.',
  }),
  PROVIDER_FAILOVER_AFTER: milliseconds({
    default: '2s',
    minMs: 100,
    maxMs: 60_000,
    description: 'Time that a source has to answer an urgent call before the next one is tried.',
  }),
  BREAKER_FAILURE_THRESHOLD: integer({
    default: '5',
    min: 1,
    max: 1_000,
    description: 'Consecutive failures after which a source is not called for a while.',
  }),
  BREAKER_MAX_OPEN: duration({
    default: '30s',
    maxSeconds: 3_600,
    description: 'Longest pause before a failed source is tried again.',
  }),
  DEVIATION_GUARD: oneOf(['on', 'off'], {
    default: 'on',
    description: 'Whether a price far from the last one must be confirmed by a second observation.',
  }),
  COINMARKETCAP_BASE_URL: url(['http', 'https'], {
    default: 'https://pro-api.coinmarketcap.com',
    description: 'Root of the CoinMarketCap API, without a version.',
  }),
  COINMARKETCAP_VERSION: oneOf(['v2', 'v3'], {
    default: 'v3',
    description: 'Shape of the CoinMarketCap API; v2 needs COINMARKETCAP_API_KEY.',
  }),
  DEFILLAMA_BASE_URL: url(['http', 'https'], {
    default: 'https://coins.llama.fi',
    description: 'Root of the DefiLlama coins API, which prices in usd only.',
  }),
  HTTP_RECORD_DIR: text({
    description:
      'Folder in which the newest 1000 upstream requests and responses are recorded, without keys.',
  }),
  HTTP_REPLAY_DIR: text({
    description: 'Folder of recorded requests and responses; required with PROVIDER=recorded.',
  }),
} as const;
