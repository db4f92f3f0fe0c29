/** Made-up reports of exchanges, as long as one likes. */

/** Formats that a report can be made in. */
export const madeFormats = ['coinbase', 'binance', 'kraken', 'generic'] as const;
export type MadeFormat = (typeof madeFormats)[number];

/** How the generic report is read. */
export const madeMapping = {
  columns: {
    time: 'time',
    type: 'type',
    receivedSymbol: 'in',
    receivedQuantity: 'in_quantity',
    sentSymbol: 'out',
    sentQuantity: 'out_quantity',
    feeSymbol: 'fee',
    feeQuantity: 'fee_quantity',
  },
  types: { trade: 'trade' },
};

const begin = Date.UTC(2016, 0, 1);
const spanMs = 8 * 365 * 86_400_000;
const symbols = ['BTC', 'ETH', 'XRP', 'DOT', 'BNB'] as const;

const headers: Readonly<Record<MadeFormat, string>> = {
  coinbase:
    'ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,Total (inclusive of fees and/or spread),Fees and/or Spread,Notes',
  binance: 'User_ID,UTC_Time,Account,Operation,Coin,Change,Remark',
  kraken: 'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance',
  generic: 'time,type,in,in_quantity,out,out_quantity,fee,fee_quantity',
};

/** A report of so many rows: purchases, and now and then a sale of less than was bought. */
export function madeReport(format: MadeFormat, rows: number): string {
  const lines = [headers[format]];
  for (let n = 0; lines.length <= rows; n++) lines.push(...tradeRows[format](tradeOf(n, rows)));
  return `${lines.slice(0, rows + 1).join('\n')}\n`;
}

interface Trade {
  readonly n: number;
  readonly time: string;
  readonly symbol: string;
  readonly isSale: boolean;
}

function tradeOf(n: number, rows: number): Trade {
  const at = begin + Math.floor((n * spanMs) / rows);
  const time = new Date(at).toISOString().slice(0, 19).replace('T', ' ');
  return { n, time, symbol: symbols[n % symbols.length] ?? 'BTC', isSale: n % 4 === 3 && n > 100 };
}

const tradeRows: Readonly<Record<MadeFormat, (trade: Trade) => string[]>> = {
  coinbase: ({ n, time, symbol, isSale }) => [
    `c${n},${time} UTC,${isSale ? 'Sell' : 'Buy'},${symbol},0.01,USD,$300,$3,$3.01,$0.01,`,
  ],
  // The last second of a trade is its own.
  binance: ({ time, symbol, isSale }) => [
    `1,${time},Spot,${isSale ? 'Sell' : 'Buy'},${symbol},${isSale ? '-0.01' : '0.01'},`,
    `1,${time},Spot,Transaction Related,USD,${isSale ? '3' : '-3'},`,
    `1,${time},Spot,Fee,USD,-0.01,`,
  ],
  kraken: ({ n, time, symbol, isSale }) => [
    `a${n},R${n},${time},trade,,currency,${symbol},${isSale ? '-0.01' : '0.01'},0,0`,
    `b${n},R${n},${time},trade,,currency,ZUSD,${isSale ? '3' : '-3'},0.01,0`,
  ],
  generic: ({ time, symbol, isSale }) => [
    isSale ? `${time},trade,USD,3,${symbol},0.01,USD,0.01` : `${time},trade,${symbol},0.01,USD,3,USD,0.01`,
  ],
};
