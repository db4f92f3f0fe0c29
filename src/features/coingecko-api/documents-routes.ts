import { z } from 'zod';
import { answerV3, type cacheRules } from './answer.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { AppDeps } from '../../app-deps.ts';
import type { Route } from '../../platform/http/route.ts';
import {
  canonicalPath,
  readDocument,
  updateEveryMs,
  type DocumentDeps,
  type FoundDocument,
} from './documents.ts';
import { checkedId, refuseUnlisted } from './coin-id.ts';
import { coinNotFound } from '../../platform/http/v3-errors.ts';
import { flag, word } from './params.ts';
import { v3Route } from './v3-route.ts';

type CoinDeps = DocumentDeps & Pick<AppDeps, 'assets'>;

/** What is passed on as CoinGecko sent it: one asset, trending searches, figures of the whole market. */
export function documentRoutes(deps: CoinDeps): Route[] {
  return [
    plain(deps, {
      path: '/search/trending',
      freshMs: updateEveryMs.trending,
      summary: 'What people search for',
    }),
    plain(deps, { path: '/global', freshMs: updateEveryMs.global, summary: 'Figures of the whole market' }),
    coin(deps),
  ];
}

interface PlainDocument {
  readonly path: string;
  readonly freshMs: number;
  readonly summary: string;
}

function plain(deps: DocumentDeps, { path, freshMs, summary }: PlainDocument): Route {
  return v3Route({
    path,
    summary,
    handler: async (ctx, { viewer }) => {
      answerDocument(
        ctx,
        await readDocument(deps, { path, freshMs, viewer, notFound: coinNotFound }),
        'slow',
      );
    },
  });
}

const coinQuery = z.object({
  localization: flag('Names in other languages', true),
  tickers: flag('Prices by market', true),
  market_data: flag('Market figures', true),
  community_data: flag('Figures of communities', true),
  developer_data: flag('Figures of code repositories', true),
  sparkline: flag('Prices of the last seven days'),
  include_categories_details: flag('Categories with their ids'),
  dex_pair_format: word(['contract_address', 'symbol'], 'How tickers of decentralised markets name pairs'),
});

function coin(deps: CoinDeps): Route {
  return v3Route({
    path: '/coins/:id',
    summary: 'All that is known of an asset',
    params: z.object({ id: z.string().meta({ description: 'Asset id, such as bitcoin' }) }),
    query: coinQuery,
    answers: { 404: 'The price source does not know this asset' },
    handler: async (ctx, { params, query, viewer }) => {
      const assetId = checkedId(params.id);
      refuseUnlisted(deps.assets, assetId);
      const path = canonicalPath(`/coins/${encodeURIComponent(assetId)}`, query);
      const asked = { path, freshMs: updateEveryMs.coin, viewer, notFound: coinNotFound };
      answerDocument(ctx, await readDocument(deps, asked), 'prices');
    },
  });
}

function answerDocument(
  ctx: ApiContext,
  { state, document: { json, receivedAt } }: FoundDocument,
  cache: keyof typeof cacheRules,
): void {
  answerV3(ctx, { json, cache, state, receivedAt });
}
