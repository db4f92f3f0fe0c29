import { expect } from 'chai';
import { assetCurrencies } from '../../../embedded/market/currencies.ts';
import { isQuoteCurrency, quoteCurrencies } from '../../../src/domain/currencies.ts';
import { isFiat } from '../../../src/features/portfolios/ledger/fiat.ts';

describe('currencies', () => {
  it('are cash when they are money of a country, and never when their worth is that of an asset', () => {
    const coins = Object.keys(assetCurrencies);
    expect([...coins, 'xau', 'xag', 'xdr'].filter((code) => isFiat(code))).to.deep.equal([]);
    expect(coins.every((code) => isQuoteCurrency(code))).to.equal(true);
    const cash = ['usd', 'eur', 'GBP', 'Try', 'vef', 'ron', 'KZT'];
    expect(cash.filter((code) => !isFiat(code))).to.deep.equal([]);
    expect(quoteCurrencies.filter((code) => isFiat(code))).to.have.length(46);
  });

  it('are quoted when CoinGecko prices in them, which is not so of all money', () => {
    expect(
      ['usd', 'btc', 'sats', 'xdr', 'ron', 'doge', 'USD'].map((code) => isQuoteCurrency(code)),
    ).to.deep.equal([true, true, true, true, false, false, false]);
  });
});
