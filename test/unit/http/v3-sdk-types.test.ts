/**
 * Our answers against the types of CoinGecko's SDK, when this file is compiled: nothing that the SDK promises may be missing,
 * and nothing may be there that it does not know.
 */
import type Coingecko from '@coingecko/coingecko-typescript';
import { expect } from 'chai';
import { toCachedQuote } from '../../../src/domain/cached-quote.ts';
import { rowOfQuote } from '../../../src/features/coingecko-api/market-rows.ts';
import { keyResponse } from '../../../src/features/coingecko-api/simple-routes.ts';

type Answer<F extends (...given: never[]) => unknown> = Awaited<ReturnType<F>>;
type SdkRow = Answer<Coingecko['coins']['markets']['get']>[number];
type SdkKey = Answer<Coingecko['key']['get']>;
type Required<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] };

describe("our answers as the SDK's types", () => {
  const quote = toCachedQuote({
    assetId: 'bitcoin',
    symbol: 'btc',
    name: 'Bitcoin',
    currency: 'usd',
    price: 1,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    source: 'coinmarketcap',
    asOf: null,
    receivedAt: 0,
  });

  it('holds for a market row that was made of a quote alone', () => {
    const ours = rowOfQuote(quote);
    const theirs: Required<SdkRow> = ours;
    expect(theirs).to.equal(ours);
    const missing: Exclude<keyof Required<SdkRow>, keyof typeof ours>[] = [];
    const invented: Exclude<keyof typeof ours, keyof SdkRow>[] = [];
    const names: never[] = [...missing, ...invented];
    expect(names).to.deep.equal([]);
    expect(Object.values(ours).some((value) => (value as unknown) === undefined)).to.equal(false);
  });

  it('holds for /key', () => {
    const ours = keyResponse({ perMinute: 600, credit: 1000, used: 3, usedByAll: 5 });
    const theirs: SdkKey = ours;
    expect(theirs.current_remaining_monthly_calls).to.equal(997);
    const missing: Exclude<keyof SdkKey, keyof typeof ours>[] = [];
    const invented: Exclude<keyof typeof ours, keyof SdkKey>[] = [];
    const names: never[] = [...missing, ...invented];
    expect(names).to.deep.equal([]);
  });
});
