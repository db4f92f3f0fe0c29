/** The list of coins and search in CoinGecko's contract, answered from this process's memory. */
import { z } from 'zod';
import { byRank, type Asset } from '../../domain/asset.ts';
import type { AppDeps } from '../../app-deps.ts';
import { listedJson, presentFound } from '../assets/present-asset.ts';
import { known } from '../assets/asset-directory.ts';
import type { Route } from '../../platform/http/route.ts';
import { answerPrepared, answerV3, prepare, type Prepared } from './answer.ts';
import { flag, requiredText, word } from './params.ts';
import { v3Route } from './v3-route.ts';

type AssetDeps = Pick<AppDeps, 'assets'>;

/** Coins that a search finds at most. */
const mostFound = 100;

/** `/coins/list` and `/search`. */
export function coinListRoutes(deps: AssetDeps): Route[] {
  return [listRoute(deps), searchRoute(deps)];
}

function listRoute({ assets }: AssetDeps): Route {
  // By the list itself, which another list replaces: the text of several MB is made once for each.
  const plain = new WeakMap<readonly Asset[], Prepared>();
  const withPlatforms = new WeakMap<readonly Asset[], Prepared>();
  return v3Route({
    path: '/coins/list',
    summary: 'All coins with id, symbol and name',
    description:
      'As the price source lists them, rows without an id left out; inactive are those that were on the list before.',
    query: z.object({
      include_platform: flag('Contract addresses by platform'),
      status: word(['active', 'inactive'], 'Which coins; active when absent'),
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
      answerPrepared(ctx, prepared, { cache: 'slow' });
    },
  });
}

function searchRoute({ assets }: AssetDeps): Route {
  return v3Route({
    path: '/search',
    summary: 'Coins by a part of their symbol, name or id',
    description: `By market capitalisation, ${mostFound} at most; other things than coins are not searched.`,
    query: z.object({ query: requiredText('What is searched for') }),
    handler: (ctx, { query: { query } }) => {
      const coins = known(assets).search(query, mostFound).toSorted(byRank).map(presentFound);
      const json = JSON.stringify({ coins, exchanges: [], icos: [], categories: [], nfts: [] });
      answerV3(ctx, { json, cache: 'slow' });
    },
  });
}
