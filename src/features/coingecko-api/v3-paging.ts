import type { ApiContext } from '../../platform/http/context.ts';

interface Paging {
  readonly page: number;
  readonly perPage: number;
  /** Rows on all pages; undefined when that is not known. */
  readonly total: number | undefined;
}

/**
 * `Link`, `per-page` and `total` as CoinGecko sends them. Links are relative to the request: what a client calls this server is
 * its own affair. They carry no key.
 */
export function pagingHeaders(ctx: ApiContext, { page, perPage, total }: Paging): Record<string, string> {
  const last = total === undefined ? undefined : Math.max(1, Math.ceil(total / perPage));
  const links: [string, number][] = [];
  if (page > 1) links.push(['first', 1], ['prev', page - 1]);
  if (last !== undefined && page < last) links.push(['next', page + 1], ['last', last]);
  const link = links.map(([rel, to]) => `<${urlOf(ctx, to)}>; rel="${rel}"`).join(', ');
  return {
    'per-page': String(perPage),
    ...(total === undefined ? {} : { total: String(total) }),
    ...(link === '' ? {} : { link }),
  };
}

/** In whatever case: what is almost a key is no less secret. */
const keyNames: ReadonlySet<string> = new Set(['x_cg_demo_api_key', 'x_cg_pro_api_key']);

function urlOf(ctx: ApiContext, page: number): string {
  const query = new URLSearchParams(ctx.querystring);
  for (const name of [...query.keys()]) if (keyNames.has(name.toLowerCase())) query.delete(name);
  query.set('page', String(page));
  return `${ctx.state.path ?? ''}?${query.toString()}`;
}
