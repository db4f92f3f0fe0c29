/**
 * Currencies by kind. The table is part of the code, because an unknown currency must be refused before anything is
 * queued, even while the provider is unavailable. Each currency is listed once with its kind, so that an added coin
 * never becomes cash.
 */

/**
 * The quote currencies of CoinGecko (its `/simple/supported_vs_currencies`), in its order. `fiat` is money of a
 * country.
 */
const kinds = {
  btc: 'coin',
  eth: 'coin',
  ltc: 'coin',
  bch: 'coin',
  bnb: 'coin',
  eos: 'coin',
  xrp: 'coin',
  xlm: 'coin',
  link: 'coin',
  dot: 'coin',
  yfi: 'coin',
  sol: 'coin',
  usd: 'fiat',
  aed: 'fiat',
  ars: 'fiat',
  aud: 'fiat',
  bdt: 'fiat',
  bhd: 'fiat',
  bmd: 'fiat',
  brl: 'fiat',
  cad: 'fiat',
  chf: 'fiat',
  clp: 'fiat',
  cny: 'fiat',
  czk: 'fiat',
  dkk: 'fiat',
  eur: 'fiat',
  gbp: 'fiat',
  gel: 'fiat',
  hkd: 'fiat',
  huf: 'fiat',
  idr: 'fiat',
  ils: 'fiat',
  inr: 'fiat',
  jpy: 'fiat',
  krw: 'fiat',
  kwd: 'fiat',
  lkr: 'fiat',
  mmk: 'fiat',
  mxn: 'fiat',
  myr: 'fiat',
  ngn: 'fiat',
  nok: 'fiat',
  nzd: 'fiat',
  php: 'fiat',
  pkr: 'fiat',
  pln: 'fiat',
  rub: 'fiat',
  sar: 'fiat',
  sek: 'fiat',
  sgd: 'fiat',
  thb: 'fiat',
  try: 'fiat',
  twd: 'fiat',
  uah: 'fiat',
  vef: 'fiat',
  vnd: 'fiat',
  zar: 'fiat',
  xdr: 'basket',
  xag: 'metal',
  xau: 'metal',
  bits: 'part',
  sats: 'part',
} as const satisfies Readonly<Record<string, 'fiat' | 'coin' | 'part' | 'metal' | 'basket'>>;

/** Money of countries that exchanges take and CoinGecko does not quote in. */
const unquotedFiats = [
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

/** Currencies in which quotes are available. */
export const quoteCurrencies = Object.keys(kinds) as readonly (keyof typeof kinds)[];

const quoted: ReadonlySet<string> = new Set(quoteCurrencies);

/** Whether quotes are available in `currency` (lower case). */
export function isQuoteCurrency(currency: string): boolean {
  return quoted.has(currency);
}

/** Money of countries, in lower case. */
export const fiatCurrencies: readonly string[] = [
  ...quoteCurrencies.filter((currency) => kinds[currency] === 'fiat'),
  ...unquotedFiats,
];
