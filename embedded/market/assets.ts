import type { AssetRow } from './asset-row.ts';
import { restAssets } from './assets-rest.ts';
import { topAssets } from './assets-top.ts';
import type { Listing } from './source.ts';

/** An asset of the simulated market. */
export interface SimulatedAsset extends Listing {
  /** The price, in US dollars, around which the walk wanders. */
  readonly basePrice: number;
  readonly supply: number;
  readonly maxSupply: number | null;
  readonly volatility: number;
}

/** Symbols that are pegged to a currency: they hardly move. */
const pegged = /^(?:usd.*|.*usd|dai|frax|eurc|eurs|usdt0|mim|figr_heloc|gho|.*usdt|.*usdc)$/;

/** Listed without a price, as thousands of rows are at the real source: one without even an id. */
export const unpricedListings: readonly Listing[] = [
  { id: '', symbol: '', name: '' },
  { id: 'batcat', symbol: 'btc', name: 'batcat' },
  { id: 'solana-wormhole', symbol: 'SOL', name: 'Solana (Wormhole)' },
  { id: 'xaave', symbol: 'xAAVEa', name: 'xAAVE' },
  { id: '0-5x-long-dogecoin-token', symbol: 'HALFDOGE', name: '0.5X Long Dogecoin' },
];

/** All real assets of the simulated market, by market cap at their base price. */
export function realAssets(): SimulatedAsset[] {
  return [...topAssets, ...restAssets].map(fromRow);
}

/** `count` made-up assets for load, `sim-00001` and on: short ids, and smaller than any real asset. */
export function madeUpAssets(count: number): SimulatedAsset[] {
  return Array.from({ length: count }, (_, index) => {
    const number = String(index + 1).padStart(5, '0');
    return fromRow([`sim-${number}`, `s${number}`, `Simulated ${number}`, 1 / (1 + index / 100), 1_000_000]);
  });
}

function fromRow([id, symbol, name, basePrice, supply, maxSupply]: AssetRow): SimulatedAsset {
  return {
    id,
    symbol,
    name,
    basePrice,
    supply,
    maxSupply: maxSupply ?? null,
    volatility: volatilityOf(symbol),
  };
}

function volatilityOf(symbol: string): number {
  if (pegged.test(symbol)) return 0.01;
  if (symbol.endsWith('btc') || symbol.startsWith('xau')) return 0.5;
  return symbol.endsWith('eth') ? 0.7 : 1;
}
