import type { QuoteReading } from '../../domain/cached-quote.ts';
import { NotFoundError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Route } from '../../platform/http/route.ts';
import { respondV3, createHeldResponses, pagingHeaders } from './responses.ts';
import {
  canonicalPath,
  isWithoutPrice,
  readPassthrough,
  reasonOf,
  unserved,
  updateEveryMs,
  type FoundPassthrough,
} from './passthrough.ts';
import { mergedRow, ordered, shownRow, unpricedRow, type MarketRowJson } from './market-rows.ts';
import { changeWindows, checkedCurrency, marketsQuery, selectedIds, type MarketsQuery } from './params.ts';
import type { CoinGeckoApiDeps } from './types.ts';
import { v3Route } from './v3-route.ts';

/** All rows that match, before they are cut into pages. */
interface FoundRows {
  readonly rows: readonly MarketRowJson[];
  readonly readings: readonly QuoteReading[];
  readonly state: 'fresh' | 'stale';
  /** When the oldest part was received (ms since the epoch). */
  readonly receivedAt: number;
  /** The same for quotes and rankings alone, which decide how long an answer is fresh; absent if there are none. */
  readonly quotedAt?: number;
  /** Assets that are left out because they have not arrived. */
  readonly pending: readonly string[];
  /** Whether assets are left out for any reason. */
  readonly isShort: boolean;
  /** Pages of the ranking that were read. */
  readonly pages: readonly { readonly currency: string; readonly page: number }[];
  /** Rows on all pages; undefined if unknown. */
  readonly total: number | undefined;
}

/** `/coins/markets`. */
export function marketRoutes(deps: CoinGeckoApiDeps): Route[] {
  const held = createHeldResponses(deps.quotes, deps.clock);
  const markets = v3Route({
    path: '/coins/markets',
    summary: 'List market figures of assets, by ids or by rank',
    query: marketsQuery,
    fastPath: (ctx) => held.answer(ctx),
    handler: async (ctx, { query, viewer }) => {
      checkedCurrency(query.vs_currency);
      const ids = query.category === undefined ? selectedIds(query, deps.assets) : undefined;
      const found = await findRows(deps, { query, ids, viewer });
      if (found.rows.length === 0 && found.pending.length > 0)
        throw await unserved(reasonOf(found.readings), deps.upstream, {
          kind: 'batch',
          readings: found.readings,
        });
      send(ctx, found, { query, held, clock: deps.clock });
    },
  });
  return [markets];
}

interface MarketsRequest {
  readonly query: MarketsQuery;
  /** Undefined for the whole market or a category. */
  readonly ids: readonly string[] | undefined;
  readonly viewer: Principal;
}

async function findRows(deps: CoinGeckoApiDeps, { query, ids, viewer }: MarketsRequest): Promise<FoundRows> {
  if (needsPassthrough(query, ids)) return await readMarketPassthrough(deps, { query, ids, viewer });
  return ids === undefined
    ? await rankedRows(deps, { query, viewer })
    : await namedRows(deps, { query, ids, viewer });
}

/** Requests that rows of the cache cannot answer: sparklines, other languages, and the whole market in other orders. */
function needsPassthrough(query: MarketsQuery, ids: readonly string[] | undefined): boolean {
  const {
    sparkline,
    include_rehypothecated: rehypothecated,
    locale = 'en',
    order = 'market_cap_desc',
  } = query;
  if (sparkline || rehypothecated || locale !== 'en' || query.category !== undefined) return true;
  return ids === undefined && order !== 'market_cap_desc';
}

async function namedRows(
  { quotes, assets, config, clock }: CoinGeckoApiDeps,
  { query, ids, viewer }: MarketsRequest & { readonly ids: readonly string[] },
): Promise<FoundRows> {
  const { vs_currency: currency, per_page: perPage, page } = query;
  const requested = { currency, assetIds: ids, waitMs: config.READ_WAIT, requester: viewer };
  const readings = await quotes.getMany(requested);
  const { rows, ...found } = await joinRows({ quotes, assets, clock }, currency, [...readings.values()]);
  const inOrder = ordered(rows, query.order ?? 'market_cap_desc');
  return { ...found, rows: inOrder.slice((page - 1) * perPage, page * perPage), total: rows.length };
}

/** Assets on a page of the ranking. */
const rankingPage = 250;
/** No source has more pages. */
const maxRankingPages = 400;

async function rankedRows(
  { quotes, assets, config, clock, upstream }: CoinGeckoApiDeps,
  { query }: Pick<MarketsRequest, 'query' | 'viewer'>,
): Promise<FoundRows> {
  const { vs_currency: currency, per_page: perPage, page } = query;
  const [start, end] = [(page - 1) * perPage, page * perPage];
  const first = Math.floor(start / rankingPage);
  const last = Math.floor((end - 1) / rankingPage);
  const total = assets.isKnown() ? assets.size() : undefined;
  const lastPage = Math.min(maxRankingPages, Math.ceil((total ?? Infinity) / rankingPage));
  const ids: string[] = [];
  const pages: { currency: string; page: number }[] = [];
  let receivedAt = Infinity;
  for (let each = first; each <= last && each < lastPage; each++) {
    const ranking = await quotes.ranking({ currency, page: each + 1, waitMs: config.READ_WAIT });
    if (ranking === undefined) throw await unserved('pending', upstream, { kind: 'alone' });
    pages.push({ currency, page: each + 1 });
    ids.push(...ranking.assetIds.slice(Math.max(0, start - each * rankingPage), end - each * rankingPage));
    receivedAt = Math.min(receivedAt, ranking.receivedAt);
    if (ranking.assetIds.length < rankingPage) break;
  }
  const readings = await quotes.getMany({ currency, assetIds: [...new Set(ids)], waitMs: 0 });
  const { rows, ...found } = await joinRows({ quotes, assets, clock }, currency, [...readings.values()]);
  const place = new Map(ids.map((id, index) => [id, index]));
  const inOrder = rows.toSorted((left, right) => (place.get(left.id) ?? 0) - (place.get(right.id) ?? 0));
  // The age of the ranking is that of the answer: an asset that has left it would otherwise stay unnoticed.
  const isStale = clock.now() - receivedAt >= quotes.freshMs;
  const state = isStale && ids.length > 0 ? 'stale' : found.state;
  return {
    ...found,
    state,
    receivedAt: Math.min(receivedAt, found.receivedAt),
    quotedAt: Math.min(receivedAt, found.quotedAt ?? receivedAt),
    pages,
    rows: inOrder,
    pending: [],
    total,
  };
}

async function joinRows(
  { quotes, assets, clock }: Pick<CoinGeckoApiDeps, 'quotes' | 'assets' | 'clock'>,
  currency: string,
  readings: readonly QuoteReading[],
): Promise<FoundRows> {
  const stored = await quotes.rows(
    currency,
    readings.map(({ assetId }) => assetId),
  );
  const rows: MarketRowJson[] = [];
  const pending: string[] = [];
  let receivedAt = clock.now();
  let quotedAt = receivedAt;
  let state: 'fresh' | 'stale' = 'fresh';
  for (const reading of readings) {
    const { assetId, quote } = reading;
    const reported = stored.get(assetId);
    const isUnpriced = isWithoutPrice(reading);
    const row =
      mergedRow(reported, quote) ?? (isUnpriced ? unpricedRow(listingOf(assets, assetId)) : undefined);
    if (row !== undefined) {
      rows.push(row);
      // The source's latest statement is that there is no price, even if an older quote is left.
      const isNull = isUnpriced || (row.current_price === null && quote !== undefined);
      // A merged row has parts of both, and is as old as the older one.
      const parts = isNull ? [reported] : [reported, quote];
      receivedAt = Math.min(receivedAt, ...parts.flatMap((part) => part?.receivedAt ?? []));
      if (isNull) continue;
      quotedAt = Math.min(quotedAt, quote?.receivedAt ?? quotedAt);
      if (reading.state !== 'fresh') state = 'stale';
    } else if (reading.state !== 'not_found') pending.push(assetId);
  }
  const isShort = rows.length < readings.length;
  return { rows, readings, pending, isShort, state, receivedAt, quotedAt, pages: [], total: undefined };
}

function listingOf(assets: CoinGeckoApiDeps['assets'], id: string): Parameters<typeof unpricedRow>[0] {
  const listed = assets.isKnown() ? assets.byId(id) : undefined;
  return { id, symbol: listed?.symbol ?? '', name: listed?.name ?? '' };
}

function send(
  ctx: ApiContext,
  found: FoundRows,
  {
    query,
    held,
    clock,
  }: {
    readonly query: MarketsQuery;
    readonly held: ReturnType<typeof createHeldResponses>;
    readonly clock: Clock;
  },
): void {
  const { state, receivedAt, pending, readings } = found;
  const windows = changeWindows.filter((each) => query.price_change_percentage?.includes(each));
  const rows = found.rows.map((row) => shownRow(row, { precision: query.precision, windows }));
  const json = `[${rows.map((row) => JSON.stringify(row)).join(',')}]`;
  const headers = pagingHeaders(ctx, { page: query.page, perPage: query.per_page, total: found.total });
  const quotes = readings.flatMap(({ quote, state: each }) => (each === 'fresh' ? (quote ?? []) : []));
  const quoted = new Set(quotes.map(({ assetId }) => assetId));
  const isWhole = pending.length === 0 && quotes.length > 0;
  if (state === 'fresh' && isWhole) {
    held.put(ctx, {
      json,
      quotes,
      unquoted: readings.flatMap(({ assetId }) => (quoted.has(assetId) ? [] : [assetId])),
      currency: query.vs_currency,
      pages: found.pages,
      receivedAt,
      freshFrom: found.quotedAt ?? receivedAt,
      isShort: found.isShort,
      headers,
    });
    return;
  }
  respondV3(ctx, { json, cache: 'prices', state, ageMs: clock.now() - receivedAt, pending, headers });
}

const idsEach = 250;
const idBytesEach = 5_500;
/** CoinGecko has some 20,000 assets: no page of 250 comes after this one. */
const lastPage = 400;

/**
 * Reads the rows of one page that rows of the cache do not hold, passed on as documents: one for a page of the whole market,
 * one for up to 250 ids. Only checked values go upstream.
 */
async function readMarketPassthrough(deps: CoinGeckoApiDeps, requested: MarketsRequest) {
  const { query, ids, viewer } = requested;
  const { per_page: perPage, page } = query;
  const paths = ids === undefined ? pagePaths(query) : batchesOf(ids).map((batch) => idsPath(query, batch));
  const notFound = (): NotFoundError => new NotFoundError('category not found', 'category_not_found');
  const found = await Promise.all(
    paths.map((path) => readPassthrough(deps, { path, freshMs: updateEveryMs.markets, viewer, notFound })),
  );
  const rows = found.flatMap(({ response }) => JSON.parse(response.json) as MarketRowJson[]);
  const shown =
    ids === undefined
      ? rows
      : ordered(rows, query.order ?? 'market_cap_desc').slice((page - 1) * perPage, page * perPage);
  return {
    ...ageOf(found, deps.clock),
    rows: shown,
    readings: [],
    pending: [],
    isShort: false,
    pages: [],
    total: ids === undefined ? undefined : rows.length,
  };
}

function ageOf(
  found: readonly FoundPassthrough[],
  clock: Clock,
): { state: 'fresh' | 'stale'; receivedAt: number } {
  const receivedAt = found.reduce(
    (oldest, { response }) => Math.min(oldest, response.receivedAt),
    clock.now(),
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

/** Requests everything that costs no extra call, so that one document serves all requests for a part of it. */
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
