/** Routes that make jobs of quotes. */
import { resolveSymbols } from './resolve-symbols.ts';
import type { AppDeps } from '../../app-deps.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { bulkBody, portfolioBody } from './price-schemas.ts';
import { submissionDescribed, submitJob, type SubmitDeps } from '../jobs/submit-job.ts';

type SubmissionDeps = SubmitDeps & Pick<AppDeps, 'assets'>;

/** `POST /crypto/bulk` and `POST /crypto/portfolio`. */
export function submissionRoutes(deps: SubmissionDeps): Route[] {
  return [bulkRoute(deps), portfolioRoute(deps)];
}

function bulkRoute(deps: SubmissionDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/bulk',
    access: 'user',
    scope: 'jobs:write',
    tag: 'Prices',
    summary: 'Fetch the quotes of many coins as a job',
    description:
      'Coins by id, by symbol, or both. A symbol stands for the largest coin by market capitalisation that has it: `resolved` ' +
      'in job and result shows the choice. An unknown symbol is an error in `resolved`, and 422 when nothing is left to fetch.',
    body: bulkBody,
    ...submissionDescribed,
    handler: async (ctx, { body, viewer }) => {
      // The assets are the work: whoever names them otherwise shares the run.
      const { assetIds, resolved } = resolveSymbols(deps.assets, body);
      const request = {
        name: 'bulk.fetch',
        submission: { currency: body.currency, assets: assetIds },
        total: assetIds.length,
        resolved,
      } as const;
      await submitJob(ctx, deps, { viewer, route: 'POST /crypto/bulk', body, request });
    },
  });
}

function portfolioRoute(deps: SubmissionDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/portfolio',
    access: 'user',
    scope: 'jobs:write',
    tag: 'Prices',
    summary: 'Fetch the quotes of some holdings, and their value, as a job',
    description: 'With coins alone this is a bulk job; with holdings the result has a total_value.',
    body: portfolioBody,
    ...submissionDescribed,
    handler: async (ctx, { body, viewer }) => {
      const submitted = { viewer, route: 'POST /crypto/portfolio', body };
      const { coins, holdings, currency } = body;
      if (holdings === undefined) {
        const assets = coins ?? [];
        const request = {
          name: 'bulk.fetch',
          submission: { currency, assets },
          total: assets.length,
        } as const;
        return submitJob(ctx, deps, { ...submitted, request });
      }
      const rows = holdings.map(({ coin, quantity }) => ({ asset: coin, quantity }));
      const total = new Set(rows.map(({ asset }) => asset)).size;
      const request = { name: 'portfolio.fetch', submission: { currency, holdings: rows }, total } as const;
      return submitJob(ctx, deps, { ...submitted, request });
    },
  });
}
