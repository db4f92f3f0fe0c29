import type { Principal } from '../../domain/principal.ts';
import { outOfReachReason, type CachedDocument } from './document-store.ts';
import type { AppError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import { unserved } from './unserved.ts';

/** What documents are read with. */
export type DocumentDeps = Pick<AppDeps, 'documents' | 'budgetStatus' | 'config'>;

interface DocumentQuestion {
  /** Made by {@link canonicalPath}. */
  readonly path: string;
  /** CoinGecko's own update interval of the route. */
  readonly freshMs: number;
  readonly viewer: Principal;
  /** What is thrown when there is no such document. */
  readonly notFound: () => AppError;
  /** What is thrown when the source does not reach back so far; 503 when absent. */
  readonly outOfReach?: () => AppError;
}

export interface FoundDocument {
  readonly state: 'fresh' | 'stale';
  readonly document: CachedDocument;
}

/** How often CoinGecko renews what documents show (ms). */
export const updateEveryMs = { markets: 60_000, coin: 60_000, trending: 600_000, global: 600_000 } as const;

type Value = string | number | boolean | readonly string[] | undefined;

/**
 * The one path and query of equal questions: parameters in alphabetical order, those that are undefined left out. Values must
 * have been checked.
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
 * @throws {AppError} `notFound` where there is none, 503 where it cannot be had now.
 */
export async function readDocument(
  { documents, budgetStatus, config }: DocumentDeps,
  { notFound, outOfReach, viewer, ...asked }: DocumentQuestion,
): Promise<FoundDocument> {
  const reading = await documents.read({ ...asked, waitMs: config.READ_WAIT_MS, requester: viewer });
  if (reading.document !== undefined) return { state: reading.state, document: reading.document };
  if (reading.reason === outOfReachReason && outOfReach !== undefined) throw outOfReach();
  throw reading.state === 'not_found' ? notFound() : await unserved(reading.state, budgetStatus);
}
