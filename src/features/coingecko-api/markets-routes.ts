import type { QuoteReading } from '../../domain/cached-quote.ts';
import { isQuoteCurrency } from '../../domain/currencies.ts';
import type { Principal } from '../../domain/principal.ts';
import type { AppDeps } from '../../app-deps.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Route } from '../../platform/http/route.ts';
import { answerV3 } from './answer.ts';
import { invalidParameter } from '../../platform/http/v3-errors.ts';
import { createHeldAnswers, type HeldAnswers } from './held-answers.ts';
import { mergedRow, ordered, shownRow, type MarketRowJson } from './market-rows.ts';
import { readMarketDocuments } from './market-documents.ts';
import { pagingHeaders } from './v3-paging.ts';
import { changeWindows, marketsQuery, type MarketsQuery } from './market-params.ts';
import { selectedIds } from './selection.ts';
import { isWithoutPrice, reasonOf, unserved } from './unserved.ts';
import { v3Route } from './v3-route.ts';

/** What `/coins/markets` stands on. */
export type MarketDeps = Pick<AppDeps, 'market' | 'documents' | 'assets' | 'budgetStatus' | 'config'>;

/** What is found, before it is cut into pages. */
interface FoundRows {
  readonly rows: readonly MarketRowJson[];
  readonly readings: readonly QuoteReading[];
  readonly state: 'fresh' | 'stale';
  /** When the oldest part was received (ms since the epoch). */
  readonly receivedAt: number;
  /** The same of quotes and rankings alone, which tell how long an answer is fresh; absent where there are none. */
  readonly quotedAt?: number;
  /** Assets that are left out because they have not come. */
  readonly pending: readonly string[];
  /** Pages of the ranking that were read. */
  readonly pages: readonly { readonly currency: string; readonly page: number }[];
  /** Rows on all pages; undefined when that is not known. */
  readonly total: number | undefined;
}

/** `/coins/markets`. */
export function marketRoutes(deps: MarketDeps): Route[] {
  const held = createHeldAnswers(deps.market);
  const markets = v3Route({
    path: '/coins/markets',
    summary: 'Market figures of assets, by ids or by rank',
    query: marketsQuery,
    shortcut: (ctx) => held.answer(ctx),
    handler: async (ctx, { query, viewer }) => {
      if (!isQuoteCurrency(query.vs_currency)) throw invalidParameter('invalid vs_currency');
      const ids = query.category === undefined ? selectedIds(query, deps.assets) : undefined;
      const found = await findRows(deps, { query, ids, viewer });
      if (found.rows.length === 0 && found.pending.length > 0)
        throw await unserved(reasonOf(found.readings), deps.budgetStatus);
      send(ctx, found, { query, held });
    },
  });
  return [markets];
}

interface Asked {
  readonly query: MarketsQuery;
  readonly ids: readonly string[] | undefined;
  readonly viewer: Principal;
}

async function findRows(deps: MarketDeps, { query, ids, viewer }: Asked): Promise<FoundRows> {
  if (needsDocument(query, ids)) return await readMarketDocuments(deps, { query, ids, viewer });
  return ids === undefined
    ? await rankedRows(deps, { query, viewer })
    : await namedRows(deps, { query, ids, viewer });
}

/** What rows of the cache do not hold: sparklines, other languages, and the whole market in other orders. */
function needsDocument(query: MarketsQuery, ids: readonly string[] | undefined): boolean {
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
  { market, config }: MarketDeps,
  { query, ids, viewer }: Asked & { readonly ids: readonly string[] },
): Promise<FoundRows> {
  const { vs_currency: currency, per_page: perPage, page } = query;
  const asked = { currency, assetIds: ids, waitMs: config.READ_WAIT_MS, requester: viewer };
  const readings = await market.quotes(asked);
  const { rows, ...found } = await joinRows(market, currency, [...readings.values()]);
  const inOrder = ordered(rows, query.order ?? 'market_cap_desc');
  return { ...found, rows: inOrder.slice((page - 1) * perPage, page * perPage), total: rows.length };
}

/** Assets on a page of the ranking. */
const rankingPage = 250;
/** No source has more pages. */
const mostRankingPages = 400;

async function rankedRows(
  { market, assets, config, budgetStatus }: MarketDeps,
  { query }: Pick<Asked, 'query' | 'viewer'>,
): Promise<FoundRows> {
  const { vs_currency: currency, per_page: perPage, page } = query;
  const [start, end] = [(page - 1) * perPage, page * perPage];
  const first = Math.floor(start / rankingPage);
  const last = Math.floor((end - 1) / rankingPage);
  const total = assets.isKnown() ? assets.size() : undefined;
  const lastPage = Math.min(mostRankingPages, Math.ceil((total ?? Infinity) / rankingPage));
  const ids: string[] = [];
  const pages: { currency: string; page: number }[] = [];
  let receivedAt = Infinity;
  for (let each = first; each <= last && each < lastPage; each++) {
    const ranking = await market.ranking({ currency, page: each + 1, waitMs: config.READ_WAIT_MS });
    if (ranking === undefined) throw await unserved('pending', budgetStatus);
    pages.push({ currency, page: each + 1 });
    ids.push(...ranking.assetIds.slice(Math.max(0, start - each * rankingPage), end - each * rankingPage));
    receivedAt = Math.min(receivedAt, ranking.receivedAt);
    if (ranking.assetIds.length < rankingPage) break;
  }
  const readings = await market.quotes({ currency, assetIds: [...new Set(ids)], waitMs: 0 });
  const { rows, ...found } = await joinRows(market, currency, [...readings.values()]);
  const place = new Map(ids.map((id, index) => [id, index]));
  const inOrder = rows.toSorted((left, right) => (place.get(left.id) ?? 0) - (place.get(right.id) ?? 0));
  // The ranking's age is the answer's: what has left it would otherwise never be missed.
  const isStale = Date.now() - receivedAt >= market.freshMs;
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
  market: MarketDeps['market'],
  currency: string,
  readings: readonly QuoteReading[],
): Promise<FoundRows> {
  const stored = await market.rows(
    currency,
    readings.map(({ assetId }) => assetId),
  );
  const rows: MarketRowJson[] = [];
  const pending: string[] = [];
  let receivedAt = Date.now();
  let quotedAt = receivedAt;
  let state: 'fresh' | 'stale' = 'fresh';
  for (const reading of readings) {
    const { assetId, quote } = reading;
    const told = stored.get(assetId);
    const row = mergedRow(told, quote);
    if (row !== undefined) {
      rows.push(row);
      // A merged row has parts of both, and is as old as the older one.
      receivedAt = Math.min(receivedAt, ...[told, quote].flatMap((part) => part?.receivedAt ?? []));
      quotedAt = Math.min(quotedAt, quote?.receivedAt ?? quotedAt);
      if (reading.state !== 'fresh' && !isWithoutPrice(reading)) state = 'stale';
    } else if (reading.state !== 'not_found' && !isWithoutPrice(reading)) pending.push(assetId);
  }
  return { rows, readings, pending, state, receivedAt, quotedAt, pages: [], total: undefined };
}

function send(
  ctx: ApiContext,
  found: FoundRows,
  { query, held }: { readonly query: MarketsQuery; readonly held: HeldAnswers },
): void {
  const { state, receivedAt, pending, readings } = found;
  const windows = changeWindows.filter((each) => query.price_change_percentage?.includes(each));
  const rows = found.rows.map((row) => shownRow(row, { precision: query.precision, windows }));
  const json = `[${rows.map((row) => JSON.stringify(row)).join(',')}]`;
  const headers = pagingHeaders(ctx, { page: query.page, perPage: query.per_page, total: found.total });
  const quotes = readings.flatMap(({ quote }) => quote ?? []);
  const isWhole = pending.length === 0 && quotes.length > 0;
  if (state === 'fresh' && isWhole) {
    held.put(ctx, {
      json,
      quotes,
      pages: found.pages,
      receivedAt,
      freshFrom: found.quotedAt ?? receivedAt,
      isShort: quotes.length < readings.length,
      headers,
    });
    return;
  }
  answerV3(ctx, { json, cache: 'prices', state, receivedAt, pending, headers });
}
