/**
 * Answers made of quotes, held by the query that asked for them: equal questions are answered with equal bytes for as long as
 * every quote in the answer is the newest that this process has, and fresh.
 */
import { LRUCache } from 'lru-cache';
import type { MarketReader } from '../quotes/market-reader.ts';
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { Exchange } from '../../platform/http/context.ts';
import { answerPrepared, prepare, type Prepared } from './answer.ts';

/** What an answer is made of. */
interface Made {
  readonly json: string;
  readonly quotes: readonly CachedQuote[];
  /** Pages of the ranking that say which quotes these are. */
  readonly pages?: readonly { readonly currency: string; readonly page: number }[];
  /** When the oldest part was received (ms since the epoch). */
  readonly receivedAt: number;
  /** Since when it is fresh (ms since the epoch); `receivedAt` when absent. */
  readonly freshFrom?: number;
  /** Whether assets are left out: those may exist a moment later. */
  readonly isShort: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

interface HeldAnswer extends Omit<Made, 'json' | 'headers' | 'isShort' | 'freshFrom'> {
  readonly prepared: Prepared;
  readonly until: number;
  /** Of the market, when the quotes were last found to be the newest. */
  version: number;
  /** Answers since reads were counted, which costs something for each quote. */
  reads: number;
  countedAt: number;
}

export interface HeldAnswers {
  /** Answers from what is held; false when nothing is. */
  answer(exchange: Exchange): boolean;
  /** Answers with what was made just now of fresh quotes, and holds it. */
  put(exchange: Exchange, made: Made): void;
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
function questionOf({ req: { url = '' } }: Exchange): string {
  return url.includes('x_cg_') ? url.replaceAll(keyInQuery, '') : url;
}

/** Holds the answers of one route. */
export function createHeldAnswers(market: MarketReader): HeldAnswers {
  const answers = new LRUCache<string, HeldAnswer>({
    maxSize: mostCharacters,
    sizeCalculation: ({ prepared, quotes }, question) =>
      prepared.bytes.length + question.length + quotes.length * quoteCharacters + 300,
  });

  const isCurrent = (held: HeldAnswer, now: number): boolean => {
    if (now >= held.until) return false;
    const version = market.version();
    if (version === held.version) return true;
    if (held.quotes.some((quote) => market.peekFresh(quote.currency, quote.assetId) !== quote)) return false;
    held.version = version;
    return true;
  };
  const countReads = (held: HeldAnswer, now: number): void => {
    const { quotes, pages = [], reads: times } = held;
    held.countedAt = now;
    held.reads = 0;
    if (times > 0) market.noteReads({ quotes, pages, times });
  };
  const send = (exchange: Exchange, { prepared, receivedAt }: HeldAnswer): void => {
    answerPrepared(exchange, prepared, { cache: 'prices', state: 'fresh', receivedAt });
  };

  return {
    answer(exchange) {
      const held = answers.get(questionOf(exchange));
      if (held === undefined) return false;
      const now = Date.now();
      const isGood = isCurrent(held, now);
      if (isGood) held.reads += 1;
      if (!isGood || now - held.countedAt >= countEveryMs) countReads(held, now);
      if (isGood) send(exchange, held);
      return isGood;
    },
    put(exchange, { json, headers, isShort, freshFrom, ...made }) {
      const now = Date.now();
      const until = Math.min(
        (freshFrom ?? made.receivedAt) + market.freshMs,
        isShort ? now + shortMs : Infinity,
      );
      const state = { version: market.version(), reads: 0, countedAt: now };
      const held: HeldAnswer = { ...made, ...state, prepared: prepare(json, headers), until };
      answers.set(questionOf(exchange), held);
      send(exchange, held);
    },
  };
}
