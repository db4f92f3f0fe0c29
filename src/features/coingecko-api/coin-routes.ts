/**
 * The list of coins and search, answered from this process's memory; and documents passed through as CoinGecko sent
 * them.
 */
import { z } from 'zod';
import { byRank, type Asset } from '../../domain/asset.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Route } from '../../platform/http/route.ts';
import { coinNotFound } from '../../platform/http/v3-errors.ts';
import { known } from '../assets/asset-directory.ts';
import { respondPrepared, respondV3, prepare, type cacheRules, type Prepared } from './responses.ts';
import { canonicalPath, readPassthrough, updateEveryMs, type FoundPassthrough } from './passthrough.ts';
import { checkedId, flag, refuseUnlisted, requiredText, word } from './params.ts';
import type { CoinGeckoApiDeps } from './types.ts';
import { v3Route } from './v3-route.ts';

/** Most coins that a search returns. */
const maxFound = 100;

/** `/coins/list` and `/search`. */
export function coinListRoutes(deps: CoinGeckoApiDeps): Route[] {
  return [listRoute(deps), searchRoute(deps)];
}

function listRoute({ assets }: CoinGeckoApiDeps): Route {
  // Keyed by the list, which is replaced as a whole: the text of several MB is made once for each list.
  const plain = new WeakMap<readonly Asset[], Prepared>();
  const withPlatforms = new WeakMap<readonly Asset[], Prepared>();
  return v3Route({
    path: '/coins/list',
    summary: 'List all coins with id, symbol and name',
    description:
      'As the price source lists them, without rows that lack an id. Inactive coins are those that it does not list any more.',
    query: z.object({
      include_platform: flag('Contract addresses by platform'),
      status: word(['active', 'inactive'], 'Which coins', 'active'),
    }),
    handler: (ctx, { query }) => {
      const listed = known(assets).listed(query.status ?? 'active');
      const texts = query.include_platform ? withPlatforms : plain;
      let prepared = texts.get(listed);
      if (prepared === undefined) {
        const rows = listed.map((asset) => listedJson(asset, query.include_platform));
        prepared = prepare(`[${rows.join(',')}]`);
        texts.set(listed, prepared);
      }
      respondPrepared(ctx, prepared, { cache: 'slow' });
    },
  });
}

function searchRoute({ assets }: CoinGeckoApiDeps): Route {
  return v3Route({
    path: '/search',
    summary: 'Search coins by part of their symbol, name or id',
    description: `By market capitalisation, at most ${maxFound}. Only coins are searched.`,
    query: z.object({ query: requiredText('Search text') }),
    handler: (ctx, { query: { query } }) => {
      const coins = known(assets).search(query, maxFound).toSorted(byRank).map(presentFound);
      const json = JSON.stringify({ coins, exchanges: [], icos: [], categories: [], nfts: [] });
      respondV3(ctx, { json, cache: 'slow' });
    },
  });
}

/** What is passed on as CoinGecko sent it: one asset, trending searches, figures of the whole market. */
export function passthroughRoutes(deps: CoinGeckoApiDeps): Route[] {
  return [
    plain(deps, {
      path: '/search/trending',
      freshMs: updateEveryMs.trending,
      summary: 'Get trending searches',
    }),
    plain(deps, {
      path: '/global',
      freshMs: updateEveryMs.global,
      summary: 'Get figures of the whole market',
    }),
    coin(deps),
  ];
}

function plain(
  deps: CoinGeckoApiDeps,
  { path, freshMs, summary }: { readonly path: string; readonly freshMs: number; readonly summary: string },
): Route {
  return v3Route({
    path,
    summary,
    handler: async (ctx, { viewer }) => {
      respondPassthrough(
        ctx,
        await readPassthrough(deps, { path, freshMs, viewer, notFound: coinNotFound }),
        {
          cache: 'slow',
          clock: deps.clock,
        },
      );
    },
  });
}

const coinQuery = z.object({
  localization: flag('Names in other languages', true),
  tickers: flag('Prices by market', true),
  market_data: flag('Market figures', true),
  community_data: flag('Community figures', true),
  developer_data: flag('Developer figures, from code repositories', true),
  sparkline: flag('Prices of the last seven days'),
  include_categories_details: flag('Categories with their ids'),
  dex_pair_format: word(['contract_address', 'symbol'], 'How tickers of decentralised markets name pairs'),
});

function coin(deps: CoinGeckoApiDeps): Route {
  return v3Route({
    path: '/coins/:id',
    summary: 'Get all data of an asset',
    params: z.object({ id: z.string().meta({ description: 'Asset id, such as bitcoin' }) }),
    query: coinQuery,
    responses: { 404: 'The price source does not know this asset' },
    handler: async (ctx, { params, query, viewer }) => {
      const assetId = checkedId(params.id, deps.assets);
      refuseUnlisted(deps.assets, assetId);
      const path = canonicalPath(`/coins/${encodeURIComponent(assetId)}`, query);
      const requested = { path, freshMs: updateEveryMs.coin, viewer, notFound: coinNotFound };
      respondPassthrough(ctx, await readPassthrough(deps, requested), { cache: 'prices', clock: deps.clock });
    },
  });
}

function respondPassthrough(
  ctx: ApiContext,
  { state, response: { json, receivedAt } }: FoundPassthrough,
  { cache, clock }: { readonly cache: keyof typeof cacheRules; readonly clock: Clock },
): void {
  respondV3(ctx, { json, cache, state, ageMs: clock.now() - receivedAt });
}

/** What CoinGecko writes where there is no picture. */
const noPicture = { thumb: 'missing_thumb.png', large: 'missing_large.png' } as const;

/** An asset as it stands in CoinGecko's search: symbols in capitals; both pictures are the one that the source told. */
function presentFound({ id, symbol, name, rank, image }: Asset): Record<string, unknown> {
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
function listedJson({ id, symbol, name, platformsJson }: Asset, withPlatforms: boolean): string {
  const head = JSON.stringify({ id, symbol, name });
  return withPlatforms ? `${head.slice(0, -1)},"platforms":${platformsJson}}` : head;
}
