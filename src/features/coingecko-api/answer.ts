/** Good answers of CoinGecko's contract: its caching and CORS headers, and what the contract has no room for. */
import { createHash } from 'node:crypto';
import type { Exchange } from '../../platform/http/context.ts';
import { answerAtOnce } from '../../platform/http/envelope.ts';
import { matchesTag } from '../jobs/preferences.ts';

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

interface V3Answer {
  readonly json: string;
  readonly cache: keyof typeof cacheRules;
  /** Absent for what does not age. */
  readonly state?: V3State | undefined;
  /** When the oldest part was received (ms since the epoch). */
  readonly receivedAt?: number | undefined;
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
export function answerV3(exchange: Exchange, { json, headers, ...about }: V3Answer): void {
  answerPrepared(exchange, prepare(json, headers), about);
}

/** {@link answerV3} with a text that was made ready before. */
export function answerPrepared(
  exchange: Exchange,
  { bytes, etag, headers }: Prepared,
  { cache, state, receivedAt, pending }: Omit<V3Answer, 'json' | 'headers'>,
): void {
  const { origin, 'if-none-match': has } = exchange.req.headers;
  const isWhole = pending === undefined || pending.length === 0;
  const own = ['Cache-Control', cacheRules[isWhole ? cache : 'none']];
  if (state !== undefined) own.push('X-Pricepool-State', isWhole ? state : 'partial');
  if (receivedAt !== undefined) own.push('Age', ageText(receivedAt));
  if (!isWhole) own.push('X-Pricepool-Pending', pending.slice(0, mostNamed).join(','));
  if (origin !== undefined) own.push(...exposedHeaders);
  const isKnown = has !== undefined && matchesTag(has, etag.slice(2));
  answerAtOnce(exchange, bytes, { status: isKnown ? 304 : 200, headers: headers.concat(own) });
}

/** Whole seconds since a moment (ms since the epoch). */
function ageText(since: number): string {
  return String(Math.max(0, Math.floor((Date.now() - since) / 1000)));
}
