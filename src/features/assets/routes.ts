import type { Asset } from '../../domain/asset.ts';
import { answer } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { known, type AssetDirectory } from './asset-directory.ts';
import { assetsQuery, searchQuery } from './schemas.ts';

interface AssetDeps {
  readonly assets: AssetDirectory;
}

const tag = 'Prices';
const unavailable = 'The list of coins has not been fetched yet; retry after Retry-After seconds';

/** Search and list of coins, answered from this process's memory. */
export function assetRoutes(deps: AssetDeps): Route[] {
  return [searchRoute(deps), listRoute(deps)];
}

function searchRoute({ assets }: AssetDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/crypto/search',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'Search coins by part of their symbol, name or id',
    description:
      'Case and diacritics are ignored. Exact matches of the symbol come first, then exact matches of the name or id, ' +
      'then matches at the start of one of them, then all others; each group by rank.',
    query: searchQuery,
    responses: { 200: 'The matching coins, possibly none', 503: unavailable },
    handler: (ctx, { query: { q, limit } }) => {
      const data = known(assets).search(q, limit).map(presentAsset);
      answer(ctx, { message: 'Coins found', data });
    },
  });
}

function listRoute({ assets }: AssetDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/crypto/coins',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'List all coins by rank, those without a rank last',
    query: assetsQuery,
    responses: { 200: 'A page of coins', 503: unavailable },
    handler: (ctx, { query: { page, limit } }) => {
      const ranked = known(assets).ranked();
      const data = ranked.slice((page - 1) * limit, page * limit).map(presentAsset);
      const total = ranked.length;
      answer(ctx, {
        message: 'Coins',
        data: pageOf(data, { total, page, limit }),
      });
    },
  });
}

function presentAsset({ id, symbol, name, rank }: Asset): Record<string, unknown> {
  return { id, symbol, name, rank };
}
