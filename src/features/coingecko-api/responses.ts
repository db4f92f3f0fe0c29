/** Good answers of CoinGecko's contract: its caching, paging and CORS headers, and what the contract has no room for. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { ApiContext, HttpContext } from '../../platform/http/context.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { respondDirectly } from '../../platform/http/envelope.ts';
import { matchesTag } from '../../platform/http/if-match.ts';
import type { QuoteService } from '../quotes/quote-service.ts';

/**
 * How much of what was asked is there: all of it `fresh`; all, some of it `stale`; or `partial`: something that is wanted has
 * not come, and is left out.
 */
export type V3State = 'fresh' | 'stale' | 'partial';

/** CoinGecko's `Cache-Control` by what it is that changes. */
export const cacheRules = {
  prices: 'max-age=30, public, must-revalidate, s-maxage=60',
  slow: 'max-age=60, public, must-revalidate, s-maxage=1800',
  /** Of what belongs to one key, or is not whole. */
  none: 'private, no-store',
} as const;

interface V3Response {
  readonly json: string;
  readonly cache: keyof typeof cacheRules;
  /** Absent for what does not age. */
  readonly state?: V3State | undefined;
  /** Time (ms) since the oldest part was received. */
  readonly ageMs?: number | undefined;
  /** Assets that are left out because they have not come. */
  readonly pending?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer whose text and tag are made, to be sent any number of times. */
export interface Prepared {
  /** A character for each byte of the UTF-8 text. */
  readonly bytes: string;
  readonly etag: string;
  /** Pairs of name and value that every answer with this text has. */
  readonly headers: readonly string[];
}

/**
 * Credentials are named in `Vary` beside what CoinGecko names: a shared cache then gives an answer to nobody who has not
 * brought the credential that it was given to.
 */
const vary = 'Accept-Encoding, Origin, Authorization, X-Api-Key, X-CG-Demo-Api-Key, X-CG-Pro-Api-Key';
const exposed =
  'link, per-page, total, age, etag, retry-after, ratelimit, ratelimit-policy, x-pricepool-state, x-pricepool-pending, x-request-id';
/** What only pages of other origins look at. */
const exposedHeaders = ['Access-Control-Expose-Headers', exposed];
/** Ids that are named in a header. */
const mostNamed = 50;

/** Makes a text ready to be sent, with headers of its own. */
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

/** Answers 200, or 304 to a client that has just this. */
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
  if (!isWhole) own.push('X-Pricepool-Pending', pending.slice(0, mostNamed).join(','));
  if (origin !== undefined) own.push(...exposedHeaders);
  const isKnown = has !== undefined && matchesTag(has, etag.slice(2));
  respondDirectly(ctx, bytes, { status: isKnown ? 304 : 200, headers: headers.concat(own) });
}

interface HeldResponse {
  readonly quotes: readonly CachedQuote[];
  /** Assets of the answer, in one currency, without a fresh quote: it is no longer good when one of them has got it. */
  readonly unquoted?: readonly string[];
  readonly currency?: string;
  /** Pages of the ranking that say which quotes these are. */
  readonly pages?: readonly { readonly currency: string; readonly page: number }[];
  /** When the oldest part was received (ms since the epoch). */
  readonly receivedAt: number;
  readonly prepared: Prepared;
  readonly until: number;
  /** Of the market, when the quotes were last found to be the newest. */
  version: number;
  /** Answers since reads were counted, which costs something for each quote. */
  reads: number;
  countedAt: number;
}

const mostCharacters = 24 * 1024 * 1024;
/** Characters that a reference to a quote is counted as. */
const quoteCharacters = 60;
/** An answer from which something is left out is held for this time (ms). */
const shortMs = 2_000;
/** Reads of an answer are counted together so often (ms). */
const countEveryMs = 1_000;

/** Keys in the query: every key gets the same answer, and none is kept. */
const keyInQuery = /[?&]x_cg_(?:demo|pro)_api_key=[^&]*/g;

/** The URL as it came, for it need not be parsed. */
function questionOf({ req: { url = '' } }: HttpContext): string {
  return url.includes('x_cg_') ? url.replaceAll(keyInQuery, '') : url;
}

/**
 * Answers made of quotes, held by the query that asked for them: equal questions are answered with equal bytes for as long as
 * every quote in the answer is the newest that this process has, and fresh.
 */
export function createHeldResponses(
  market: Pick<QuoteService, 'freshMs' | 'version' | 'peekFresh' | 'noteReads'>,
  clock: Clock,
) {
  const responses = new LRUCache<string, HeldResponse>({
    maxSize: mostCharacters,
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
    /** Answers from what is held; false when nothing is. */
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
    /** Answers with what was made just now of fresh quotes, and holds it. */
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
        /** Since when it is fresh (ms since the epoch); `receivedAt` when absent. */
        readonly freshFrom?: number;
        /** Whether assets are left out: those may exist a moment later. */
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
 * `Link`, `per-page` and `total` as CoinGecko sends them. Links are relative to the request: what a client calls this server is
 * its own affair. They carry no key. `total`: rows on all pages; undefined when that is not known.
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
