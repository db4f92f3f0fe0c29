/** DefiLlama's calls over the market's prices, in US dollars, for assets named as `coingecko:<id>`. */
import type { MarketResponse } from './error-responses.ts';
import type { MarketSource } from './source.ts';

const dayMs = 86_400_000;

/** Answers a call by its path below the root. */
export function defiLlamaResponse(
  source: MarketSource,
  path: string,
  query: URLSearchParams,
): MarketResponse {
  const [, what, names] = /^\/(prices\/current|chart)\/(.+)$/.exec(path) ?? [];
  if (names === undefined) return { status: 404, body: { message: 'Not Found' } };
  const coins: Record<string, unknown> = {};
  for (const name of names.split(',')) {
    const id = idOf(name);
    const entry =
      id === undefined ? undefined : what === 'chart' ? chart(source, id, query) : price(source, id);
    if (entry !== undefined) coins[`coingecko:${id}`] = entry;
  }
  return { status: 200, body: { coins } };
}

function idOf(name: string): string | undefined {
  try {
    return /^coingecko:(.+)$/.exec(decodeURIComponent(name))?.[1];
  } catch {
    return undefined;
  }
}

function price(source: MarketSource, id: string): object | undefined {
  const [listing, seen] = [source.listing(id), source.observe(id, 'usd')];
  // What it has no price for is left out, like what it does not know.
  if (listing === undefined || seen === undefined || seen.price === null || seen.asOf === null)
    return undefined;
  return {
    price: seen.price,
    symbol: listing.symbol.toUpperCase(),
    timestamp: Math.floor(seen.asOf / 1_000),
    confidence: 0.99,
  };
}

/** Points of `period` from `start` on (or up to `end`), `span` of them. */
function chart(source: MarketSource, id: string, query: URLSearchParams): object | undefined {
  const listing = source.listing(id);
  if (listing === undefined) return undefined;
  const stepMs = periodMs(query.get('period'));
  const span = Math.min(500, Number(query.get('span') ?? '10'));
  const [start, end] = [query.get('start'), query.get('end')];
  const to = end === null ? source.now() : Number(end) * 1_000;
  const from = start === null ? to - (span - 1) * stepMs : Number(start) * 1_000;
  const last = start === null ? to : from + span * stepMs - 1;
  const samples = source.history(id, 'usd', { from, to: last, stepMs });
  return {
    symbol: listing.symbol.toUpperCase(),
    confidence: 0.99,
    prices: samples.map(({ at, price: found }) => ({ timestamp: Math.floor(at / 1_000), price: found })),
  };
}

function periodMs(text: string | null): number {
  const [, count, unit] = /^(\d+)(m|h|d|w)$/i.exec(text ?? '1d') ?? [];
  const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: dayMs, w: 7 * dayMs };
  return Number(count ?? 1) * (units[unit?.toLowerCase() ?? 'd'] ?? dayMs);
}
