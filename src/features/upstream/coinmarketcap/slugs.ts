/**
 * Maps between CoinMarketCap's slugs and asset ids. Most are the same word, but not all, and the same word can mean another
 * asset there; so only the pairs listed here are trusted, and every other one must be confirmed by its symbol (identity.ts).
 * Checked by hand; add only pairs that are certain.
 */

/** Asset ids whose slug is a different word. */
const slugOfAsset: Readonly<Record<string, string>> = {
  'avalanche-2': 'avalanche',
  'bitcoin-cash-sv': 'bitcoin-sv',
  binancecoin: 'bnb',
  blockstack: 'stacks',
  bonk: 'bonk1',
  'compound-governance-token': 'compound',
  'crypto-com-chain': 'cronos',
  dai: 'multi-collateral-dai',
  dogwifcoin: 'dogwifhat',
  'elrond-erd-2': 'multiversx-egld',
  enjincoin: 'enjin-coin',
  floki: 'floki-inu',
  havven: 'synthetix',
  'hedera-hashgraph': 'hedera',
  'injective-protocol': 'injective',
  'jupiter-exchange-solana': 'jupiter-ag',
  'kucoin-shares': 'kucoin-token',
  'leo-token': 'unus-sed-leo',
  'matic-network': 'polygon',
  'mina-protocol': 'mina',
  near: 'near-protocol',
  optimism: 'optimism-ethereum',
  'pancakeswap-token': 'pancakeswap',
  polkadot: 'polkadot-new',
  'quant-network': 'quant',
  'render-token': 'render',
  ripple: 'xrp',
  'sei-network': 'sei',
  'staked-ether': 'steth',
  starknet: 'starknet-token',
  'terra-luna-2': 'terra-luna-v2',
  'the-open-network': 'toncoin',
  'theta-token': 'theta-network',
  'true-usd': 'trueusd',
  'worldcoin-wld': 'worldcoin-org',
  'xdce-crowd-sale': 'xinfin',
};

/** Asset ids whose slug is certainly the same word. */
const alike: readonly string[] = [
  '0x',
  '1inch',
  'aave',
  'algorand',
  'aptos',
  'arbitrum',
  'arweave',
  'axie-infinity',
  'basic-attention-token',
  'bitcoin',
  'bitcoin-cash',
  'bittensor',
  'cardano',
  'celestia',
  'chainlink',
  'chiliz',
  'cosmos',
  'curve-dao-token',
  'dash',
  'decentraland',
  'dogecoin',
  'ecash',
  'eos',
  'ethereum',
  'ethereum-classic',
  'filecoin',
  'flow',
  'gala',
  'helium',
  'hyperliquid',
  'internet-computer',
  'iota',
  'kaspa',
  'kava',
  'lido-dao',
  'litecoin',
  'loopring',
  'maker',
  'mantle',
  'monero',
  'neo',
  'okb',
  'ondo-finance',
  'pax-gold',
  'pepe',
  'pyth-network',
  'raydium',
  'ravencoin',
  'shiba-inu',
  'solana',
  'stellar',
  'sui',
  'terra-luna',
  'tether',
  'tether-gold',
  'tezos',
  'the-graph',
  'the-sandbox',
  'thorchain',
  'tron',
  'uniswap',
  'usd-coin',
  'vechain',
  'wrapped-bitcoin',
  'yearn-finance',
  'zcash',
  'zilliqa',
];

const assetOfSlug = new Map([
  ...Object.entries(slugOfAsset).map(([assetId, slug]) => [slug, assetId] as const),
  ...alike.map((id) => [id, id] as const),
]);

/** The slug to request: the listed one, or the id itself. */
export function slugOf(assetId: string): string {
  return Object.hasOwn(slugOfAsset, assetId) ? (slugOfAsset[assetId] ?? assetId) : assetId;
}

/** The asset that a slug certainly means; undefined for all that are not listed. */
export function listedAsset(slug: string): string | undefined {
  return assetOfSlug.get(slug);
}
