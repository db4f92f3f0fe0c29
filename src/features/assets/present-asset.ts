import type { Asset } from '../../domain/asset.ts';

/** What CoinGecko writes where there is no picture. */
const noPicture = { thumb: 'missing_thumb.png', large: 'missing_large.png' } as const;

/** An asset as it stands in CoinGecko's search: symbols in capitals; both pictures are the one that the source told. */
export function presentFound({ id, symbol, name, rank, image }: Asset): Record<string, unknown> {
  return {
    id,
    name,
    api_symbol: id,
    symbol: symbol.toUpperCase(),
    market_cap_rank: rank,
    thumb: image ?? noPicture.thumb,
    large: image ?? noPicture.large,
  };
}

/** JSON text of an asset as it stands in CoinGecko's list. */
export function listedJson({ id, symbol, name, platformsJson }: Asset, withPlatforms: boolean): string {
  const head = JSON.stringify({ id, symbol, name });
  return withPlatforms ? `${head.slice(0, -1)},"platforms":${platformsJson}}` : head;
}
