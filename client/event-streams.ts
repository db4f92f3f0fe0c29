/** The streams of the API as typed events. */
import type { ApiCalls } from './api-calls.ts';
import { resumableStream, type StreamRequest } from './resumable-stream.ts';
import type {
  Holding,
  JobEvent,
  JobEventData,
  PortfolioEvent,
  PortfolioEventData,
  PriceEvent,
  PriceEventData,
} from './types.ts';

/** How patient to be with connections, and where to begin. */
export type FollowOptions = Omit<StreamRequest, 'connect'>;

interface WatchOptions extends FollowOptions {
  readonly currency?: string;
  /** Least seconds between two updates; 1 when absent. */
  readonly interval?: number;
  /** Updates after which the stream ends; absent for any number. */
  readonly maxUpdates?: number;
}

export interface PriceWatch extends WatchOptions {
  readonly coins: readonly string[];
}

/** Either `coins`, or `holdings` with quantities: then the value is told too. */
export type PortfolioWatch = WatchOptions &
  ({ readonly coins: readonly string[] } | { readonly holdings: readonly Holding[] });

const ofEveryStream = { hello: true, hb: true, ticket: true, end: true, drain: true, limit: true } as const;

const jobTypes: Readonly<Record<keyof JobEventData, true>> = {
  ...ofEveryStream,
  reset: true,
  'job.progress': true,
  'job.coin': true,
  'job.completed': true,
  'job.failed': true,
  'job.cancelled': true,
};
const priceTypes: Readonly<Record<keyof PriceEventData, true>> = { ...ofEveryStream, price: true };
const portfolioTypes: Readonly<Record<keyof PortfolioEventData, true>> = {
  ...ofEveryStream,
  portfolio: true,
};

/** True for the events after which nothing follows. */
export function isLastJobEvent(event: JobEvent): boolean {
  return event.type === 'job.completed' || event.type === 'job.failed' || event.type === 'job.cancelled';
}

/** Events of a job until it has ended. */
export async function* followJob(
  calls: ApiCalls,
  id: string,
  how: FollowOptions = {},
): AsyncGenerator<JobEvent, void> {
  const path = `/jobs/${encodeURIComponent(id)}/events`;
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'GET', path, headers, signal });
  for await (const event of typedEvents<JobEvent>(jobTypes, { ...how, connect })) {
    yield event;
    if (isLastJobEvent(event)) return;
  }
}

/** Prices as they change. */
export function followPrices(
  calls: ApiCalls,
  { coins, currency = 'usd', interval = 1, maxUpdates, ...how }: PriceWatch,
): AsyncGenerator<PriceEvent, void> {
  const query = new URLSearchParams({ coins: coins.join(','), currency, interval: String(interval) });
  if (maxUpdates !== undefined) query.set('max_updates', String(maxUpdates));
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'GET', path: `/crypto/stream/prices?${query.toString()}`, headers, signal });
  return typedEvents<PriceEvent>(priceTypes, { ...forEver, ...how, connect });
}

/** Prices of what is held, and its value, as they change. */
export function followPortfolio(
  calls: ApiCalls,
  { currency = 'usd', interval = 1, maxUpdates, ...watch }: PortfolioWatch,
): AsyncGenerator<PortfolioEvent, void> {
  const held = 'holdings' in watch ? { holdings: watch.holdings } : { coins: watch.coins };
  const body = {
    ...held,
    currency,
    interval,
    ...(maxUpdates === undefined ? {} : { max_updates: maxUpdates }),
  };
  const connect: StreamRequest['connect'] = (headers, signal) =>
    calls.send({ method: 'POST', path: '/crypto/stream/portfolio', body, headers, signal });
  return typedEvents<PortfolioEvent>(portfolioTypes, { ...forEver, ...watch, connect });
}

/** A job ends; prices go on, and so does whoever watches them, however long the API is away. */
const forEver = { maxFailures: Number.POSITIVE_INFINITY };

async function* typedEvents<E extends { readonly type: string }>(
  types: Readonly<Record<E['type'], true>>,
  request: StreamRequest,
): AsyncGenerator<E, void> {
  for await (const { event: type, data, id } of resumableStream(request)) {
    // A later version of the API may send more.
    if (!Object.hasOwn(types, type)) continue;
    // The API says what each event carries; see the types.
    yield { type, id, data: JSON.parse(data) as unknown } as unknown as E;
  }
}
