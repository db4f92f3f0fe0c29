/** Documents of CoinGecko as handlers read them, and the errors when there is nothing to serve. */
import { isRefusal, withoutPriceReason, type QuoteReading } from '../../domain/cached-quote.ts';
import { type AppError, ForbiddenError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import { retryAfterSeconds } from '../../platform/http/retry-after.ts';
import { notYet } from '../../platform/http/v3-errors.ts';
import { outOfReachReason, type PassthroughResponse } from './passthrough-store.ts';
import type { CoinGeckoApiDeps } from './types.ts';

export interface FoundPassthrough {
  readonly state: 'fresh' | 'stale';
  readonly response: PassthroughResponse;
}

/** How often (ms) CoinGecko updates the content of documents. */
export const updateEveryMs = { markets: 60_000, coin: 60_000, trending: 600_000, global: 600_000 } as const;

type Value = string | number | boolean | readonly string[] | undefined;

/**
 * One path and query for equal requests: parameters in alphabetical order, without undefined ones. Values must have
 * been checked.
 */
export function canonicalPath(path: string, params: Readonly<Record<string, Value>> = {}): string {
  const query = Object.entries(params)
    .filter((entry): entry is [string, Exclude<Value, undefined>] => entry[1] !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(
      ([name, value]) =>
        `${name}=${[value]
          .flat()
          .map((part) => encodeURIComponent(String(part)))
          .join(',')}`,
    );
  return query.length === 0 ? path : `${path}?${query.join('&')}`;
}

/**
 * Reads a document, and waits for it within bounds.
 * @throws {AppError} `notFound` where there is none, 403 in the words of a source that answered so, 503 where it cannot be had now.
 */
export async function readPassthrough(
  { documents, upstream, config }: CoinGeckoApiDeps,
  {
    notFound,
    outOfReach,
    viewer,
    ...requested
  }: {
    /** Made by {@link canonicalPath}. */
    readonly path: string;
    /** CoinGecko's own update interval of the route. */
    readonly freshMs: number;
    readonly viewer: Principal;
    /** What is thrown when there is no such document. */
    readonly notFound: () => AppError;
    /** What is thrown when the source does not reach back so far; 503 when absent. */
    readonly outOfReach?: () => AppError;
  },
): Promise<FoundPassthrough> {
  const reading = await documents.read({ ...requested, waitMs: config.READ_WAIT, requester: viewer });
  if (reading.response !== undefined) return { state: reading.state, response: reading.response };
  if (reading.reason === outOfReachReason && outOfReach !== undefined) throw outOfReach();
  if (reading.state === 'not_found') throw notFound();
  const { reason } = reading;
  if (reading.state === 'forbidden')
    throw new ForbiddenError(reason ?? 'The price source refuses this request', 'forbidden_upstream');
  throw await unserved(reading.state, upstream, { kind: 'alone', readings: [reading] });
}

const messages = {
  pending: 'The data is being fetched; please try again',
  rate_limited: 'The call limit of the price source is used up at the moment; please try again',
  unavailable: 'The price source does not respond; please try again',
} as const;

/** Why nothing can be served, as the 503 that says when to come back. */
export async function unserved(
  why: keyof typeof messages,
  upstream: CoinGeckoApiDeps['upstream'],
  {
    kind,
    readings = [],
  }: {
    /** Whether it is quotes, or something that costs a call of its own. */
    readonly kind: 'batch' | 'alone';
    /** Where one of these says that the source refuses us, its reason is passed on. */
    readonly readings?: Iterable<{ readonly reason?: string | undefined }>;
  },
): Promise<AppError> {
  const refusal = why === 'unavailable' ? [...readings].find(({ reason }) => isRefusal(reason)) : undefined;
  return notYet(refusal?.reason ?? messages[why], await retryAfterSeconds(why, upstream, kind));
}

/** The state that says best why none of these readings has a quote. */
export function reasonOf(readings: Iterable<QuoteReading>): keyof typeof messages {
  const states = new Set([...readings].map(({ state }) => state));
  if (states.has('rate_limited')) return 'rate_limited';
  return states.has('pending') ? 'pending' : 'unavailable';
}

/** Whether an asset is one that the source knows and has no price for: nothing is awaited then. */
export function isWithoutPrice({ state, reason }: QuoteReading): boolean {
  // A tick of a process that does not know the state yet says it by the reason.
  return state === 'unpriced' || (state === 'unavailable' && reason === withoutPriceReason);
}
