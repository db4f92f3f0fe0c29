/**
 * Successful answers of CoinGecko's contract: its caching, paging and CORS headers, and headers of ours for what the
 * contract has no field for.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { ApiContext, HttpContext } from '../../platform/http/context.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { respondDirectly } from '../../platform/http/envelope.ts';
import { matchesTag } from '../../platform/http/if-match.ts';
import type { QuoteService } from '../quotes/quote-service.ts';

/**
 * How complete an answer is: `fresh`; `stale` if some of it is old; or `partial` if something requested has not arrived
 * and is left out.
 */
export type V3State = 'fresh' | 'stale' | 'partial';

/** CoinGecko's `Cache-Control` by the kind of content. */
export const cacheRules = {
  prices: 'max-age=30, public, must-revalidate, s-maxage=60',
  slow: 'max-age=60, public, must-revalidate, s-maxage=1800',
  /** For content that belongs to one key, or is incomplete. */
  none: 'private, no-store',
} as const;

interface V3Response {
  readonly json: string;
  readonly cache: keyof typeof cacheRules;
  /** Absent for content that does not age. */
  readonly state?: V3State | undefined;
  /** Time (ms) since the oldest part was received. */
  readonly ageMs?: number | undefined;
  /** Assets that are left out because they have not arrived. */
  readonly pending?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer whose text and tag are ready, to be sent any number of times. */
export interface Prepared {
  /** One character for each byte of the UTF-8 text. */
  readonly bytes: string;
  readonly etag: string;
  /** Pairs of name and value that every answer with this text has. */
  readonly headers: readonly string[];
}

/**
 * `Vary` names credentials in addition to what CoinGecko names: a shared cache then gives an answer only to requests
 * with the credential it was made for.
 */
const vary = 'Accept-Encoding, Origin, Authorization, X-Api-Key, X-CG-Demo-Api-Key, X-CG-Pro-Api-Key';
const exposed =
  'link, per-page, total, age, etag, retry-after, ratelimit, ratelimit-policy, x-pricepool-state, x-pricepool-pending, x-request-id';
/** Headers that only pages of other origins read. */
const exposedHeaders = ['Access-Control-Expose-Headers', exposed];
/** Most ids named in a header. */
const maxNamed = 50;

/** Makes a text ready to be sent, with its own headers. */
export function prepare(json: string, own: Readonly<Record<string, string>> = {}): Prepared {
  const bytes = Buffer.from(json);
  const etag = `W/"${createHash('sha1').update(bytes).digest('base64url')}"`;
  const headers = [
    'Vary',
    vary,
    'Access-Control-Allow-Origin',
    '*',
    'ETag',
    etag,
    ...Object.entries(own).flat(),
  ];
  return { bytes: bytes.toString('latin1'), etag, headers };
}

/** Answers 200, or 304 to a client that already has this text. */
export function respondV3(ctx: HttpContext, { json, headers, ...about }: V3Response): void {
  respondPrepared(ctx, prepare(json, headers), about);
}

/** {@link respondV3} with a text that was made ready before. */
export function respondPrepared(
  ctx: HttpContext,
  { bytes, etag, headers }: Prepared,
  { cache, state, ageMs, pending }: Omit<V3Response, 'json' | 'headers'>,
): void {
  const { origin, 'if-none-match': has } = ctx.req.headers;
  const isWhole = pending === undefined || pending.length === 0;
  const own = ['Cache-Control', cacheRules[isWhole ? cache : 'none']];
  if (state !== undefined) own.push('X-Pricepool-State', isWhole ? state : 'partial');
  if (ageMs !== undefined) own.push('Age', String(Math.max(0, Math.floor(ageMs / 1000))));
  if (!isWhole) own.push('X-Pricepool-Pending', pending.slice(0, maxNamed).join(','));
  if (origin !== undefined) own.push(...exposedHeaders);
  const isKnown = has !== undefined && matchesTag(has, etag.slice(2));
  respondDirectly(ctx, bytes, { status: isKnown ? 304 : 200, headers: headers.concat(own) });
}

interface HeldResponse {
  readonly quotes: readonly CachedQuote[];
  /** Assets of the answer, in one currency, without a fresh quote: the answer is outdated when one of them gets one. */
  readonly unquoted?: readonly string[];
  readonly currency?: string;
  /** Pages of the ranking that select these quotes. */
  readonly pages?: readonly { readonly currency: string; readonly page: number }[];
  /** When the oldest part was received (ms since the epoch). */
  readonly receivedAt: number;
  readonly prepared: Prepared;
  readonly until: number;
  /** For the market: when the quotes were last found to be the newest. */
  version: number;
  /** Answers since reads were last counted; counting costs something for each quote. */
  reads: number;
  countedAt: number;
}

const maxCharacters = 24 * 1024 * 1024;
/** Characters that a reference to a quote counts as. */
const quoteCharacters = 60;
/** An incomplete answer is held for this time (ms). */
const shortMs = 2_000;
/** Reads of an answer are counted together at this interval (ms). */
const countEveryMs = 1_000;

/** Keys in the query: every key gets the same answer, and no key is stored. */
const keyInQuery = /[?&]x_cg_(?:demo|pro)_api_key=[^&]*/g;

/** The URL as received: it need not be parsed. */
function questionOf({ req: { url = '' } }: HttpContext): string {
  return url.includes('x_cg_') ? url.replaceAll(keyInQuery, '') : url;
}

/**
 * Answers made of quotes, held by the query that requested them: equal requests get equal bytes as long as every quote
 * in the answer is fresh and the newest that this process has.
 */
export function createHeldResponses(
  market: Pick<QuoteService, 'freshMs' | 'version' | 'peekFresh' | 'noteReads'>,
  clock: Clock,
) {
  const responses = new LRUCache<string, HeldResponse>({
    maxSize: maxCharacters,
    sizeCalculation: ({ prepared, quotes, unquoted = [] }, question) =>
      prepared.bytes.length + question.length + (quotes.length + unquoted.length) * quoteCharacters + 300,
  });

  const isCurrent = (held: HeldResponse, now: number): boolean => {
    if (now >= held.until) return false;
    const version = market.version();
    if (version === held.version) return true;
    if (held.quotes.some((quote) => market.peekFresh(quote.currency, quote.assetId) !== quote)) return false;
    const { currency = '', unquoted = [] } = held;
    if (unquoted.some((id) => market.peekFresh(currency, id) !== undefined)) return false;
    held.version = version;
    return true;
  };
  const countReads = (held: HeldResponse, now: number): void => {
    const { quotes, pages = [], reads: times } = held;
    held.countedAt = now;
    held.reads = 0;
    if (times > 0) market.noteReads({ quotes, pages, times });
  };
  const send = (ctx: HttpContext, { prepared, receivedAt }: HeldResponse, now: number): void => {
    respondPrepared(ctx, prepared, { cache: 'prices', state: 'fresh', ageMs: now - receivedAt });
  };

  return {
    /** Answers from what is held; false if nothing is. */
    answer(ctx: HttpContext): boolean {
      const held = responses.get(questionOf(ctx));
      if (held === undefined) return false;
      const now = clock.now();
      const isGood = isCurrent(held, now);
      if (isGood) held.reads += 1;
      if (!isGood || now - held.countedAt >= countEveryMs) countReads(held, now);
      if (isGood) send(ctx, held, now);
      return isGood;
    },
    /** Answers with a text just made of fresh quotes, and holds it. */
    put(
      ctx: HttpContext,
      {
        json,
        headers,
        isShort,
        freshFrom,
        ...made
      }: Pick<HeldResponse, 'quotes' | 'unquoted' | 'currency' | 'pages' | 'receivedAt'> & {
        readonly json: string;
        /** Since when it is fresh (ms since the epoch); `receivedAt` if absent. */
        readonly freshFrom?: number;
        /** Whether assets are left out: they may exist a moment later. */
        readonly isShort: boolean;
        readonly headers?: Readonly<Record<string, string>>;
      },
    ): void {
      const now = clock.now();
      const until = Math.min(
        (freshFrom ?? made.receivedAt) + market.freshMs,
        isShort ? now + shortMs : Infinity,
      );
      const state = { version: market.version(), reads: 0, countedAt: now };
      const held: HeldResponse = { ...made, ...state, prepared: prepare(json, headers), until };
      responses.set(questionOf(ctx), held);
      send(ctx, held, now);
    },
  };
}

/**
 * `Link`, `per-page` and `total` as CoinGecko sends them. Links are relative to the request, because the name under
 * which a client reaches this server is not known here. They contain no key. `total`: rows on all pages; undefined if
 * unknown.
 */
export function pagingHeaders(
  ctx: ApiContext,
  {
    page,
    perPage,
    total,
  }: { readonly page: number; readonly perPage: number; readonly total: number | undefined },
): Record<string, string> {
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
