/** The events of the stream benches: quotes of the real shape, marked with the time at which they were sent. */
import type { CachedQuote } from '../../src/domain/cached-quote.ts';
import type { Tick } from '../../src/features/quotes/ticks.ts';

/** Stands in each counted quote, followed by {@link stampLength} digits: when it was sent (ms since the epoch). */
export const stampField = '"tick":"';
export const stampLength = 13;

/** Which quotes of a tick carry the mark, and so are counted at the clients. */
export type Marked = 'all' | 'first';

/** A tick with one quote for each coin; an event with one of them has some 290 bytes. */
export function tickOf(coins: readonly string[], sentAt: number, marked: Marked = 'all'): Tick {
  const quotes = coins.map((coin, index) =>
    quoteOf(coin, sentAt, marked === 'all' || index === 0 ? `,${stampField}${sentAt}"` : ''),
  );
  return { currency: 'usd', quotes, failures: [] };
}

function quoteOf(assetId: string, sentAt: number, mark: string): CachedQuote {
  const time = new Date(sentAt).toISOString();
  const price = (60_000 + (sentAt % 1_000) / 8).toFixed(3);
  const head =
    `{"id":"${assetId}","symbol":"btc","name":"Bitcoin","currency":"usd","price":${price},"market_cap":1912345678901,` +
    `"rank":1,"change_percent_24h":1.234,"source":"coingecko","received_at":"${time}"${mark}`;
  return { assetId, currency: 'usd', receivedAt: sentAt, head };
}

/** What clients of ours get as the data of a tick; the others are given it to send. */
export function dataOf({ quotes }: Tick): string {
  return `[${quotes.map(({ head }) => `${head},"state":"fresh"}`).join(',')}]`;
}
