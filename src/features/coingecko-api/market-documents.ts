/**
 * `/coins/markets` with what rows of the cache do not hold, passed on as documents: one for a page of the whole market, one
 * for up to 250 ids. Only checked values go upstream.
 */
import type { Principal } from '../../domain/principal.ts';
import { NotFoundError } from '../../domain/errors.ts';
import {
  canonicalPath,
  readDocument,
  updateEveryMs,
  type DocumentDeps,
  type FoundDocument,
} from './documents.ts';
import { ordered, type MarketRowJson } from './market-rows.ts';
import { changeWindows, type MarketsQuery } from './market-params.ts';

interface Asked {
  readonly query: MarketsQuery;
  /** Undefined for the whole market or a category. */
  readonly ids: readonly string[] | undefined;
  readonly viewer: Principal;
}

const idsEach = 250;
const idBytesEach = 5_500;
/** CoinGecko has some 20,000 assets: no page of 250 comes after this one. */
const lastPage = 400;

/** Reads the rows of one page. */
export async function readMarketDocuments(deps: DocumentDeps, asked: Asked) {
  const { query, ids, viewer } = asked;
  const { per_page: perPage, page } = query;
  const paths = ids === undefined ? pagePaths(query) : batchesOf(ids).map((batch) => idsPath(query, batch));
  const notFound = (): NotFoundError => new NotFoundError('category not found', 'category_not_found');
  const found = await Promise.all(
    paths.map((path) => readDocument(deps, { path, freshMs: updateEveryMs.markets, viewer, notFound })),
  );
  const rows = found.flatMap(({ document }) => JSON.parse(document.json) as MarketRowJson[]);
  const shown =
    ids === undefined
      ? rows
      : ordered(rows, query.order ?? 'market_cap_desc').slice((page - 1) * perPage, page * perPage);
  return {
    ...ageOf(found),
    rows: shown,
    readings: [],
    pending: [],
    pages: [],
    total: ids === undefined ? undefined : rows.length,
  };
}

function ageOf(found: readonly FoundDocument[]): { state: 'fresh' | 'stale'; receivedAt: number } {
  const receivedAt = found.reduce(
    (oldest, { document }) => Math.min(oldest, document.receivedAt),
    Date.now(),
  );
  return { state: found.some(({ state }) => state === 'stale') ? 'stale' : 'fresh', receivedAt };
}

/** No path for what cannot be there. */
function pagePaths(query: MarketsQuery): string[] {
  const { category, order, per_page: perPage, page } = query;
  if (page * perPage > lastPage * idsEach) return [];
  if (category !== undefined && !/^[a-z0-9-]{1,100}$/.test(category))
    throw new NotFoundError('category not found', 'category_not_found');
  return [
    canonicalPath('/coins/markets', {
      ...common(query),
      category,
      order: order ?? 'market_cap_desc',
      page,
      per_page: perPage,
    }),
  ];
}

function idsPath(query: MarketsQuery, ids: readonly string[]): string {
  return canonicalPath('/coins/markets', { ...common(query), ids, page: 1, per_page: idsEach });
}

/** All that costs nothing more is asked for, so that one document serves whoever wants a part of it. */
function common(query: MarketsQuery) {
  const { vs_currency: currency, locale } = query;
  return {
    vs_currency: currency,
    precision: 'full',
    price_change_percentage: changeWindows,
    sparkline: query.sparkline || undefined,
    include_rehypothecated: query.include_rehypothecated || undefined,
    locale: locale === 'en' ? undefined : locale,
  };
}

/** Sorted, so that equal sets make equal documents whatever their order. */
function batchesOf(ids: readonly string[]): string[][] {
  const batches: string[][] = [];
  let bytes = Infinity;
  for (const id of ids.toSorted()) {
    if (bytes + id.length + 1 > idBytesEach || (batches.at(-1)?.length ?? idsEach) >= idsEach) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)?.push(id);
    bytes += id.length + 1;
  }
  return batches;
}
