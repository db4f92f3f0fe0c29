import { quoteCurrencies } from '../../../domain/currencies.ts';

/** Quote currencies that are not money of a country. */
const others = new Set([
  'btc',
  'eth',
  'ltc',
  'bch',
  'bnb',
  'eos',
  'xrp',
  'xlm',
  'link',
  'dot',
  'yfi',
  'sol',
  'xdr',
  'xag',
  'xau',
  'bits',
  'sats',
]);

/** Money that exchanges take and CoinGecko does not quote in. */
const alsoTaken = [
  'bgn',
  'cop',
  'egp',
  'ghs',
  'isk',
  'jod',
  'kes',
  'kzt',
  'mad',
  'omr',
  'pen',
  'qar',
  'ron',
  'ves',
];

const fiats: ReadonlySet<string> = new Set([
  ...quoteCurrencies.filter((currency) => !others.has(currency)),
  ...alsoTaken,
]);

/** Whether a code, in any case, is money of a country: cash, which the books do not track. */
export function isFiat(code: string): boolean {
  return fiats.has(code.toLowerCase());
}
