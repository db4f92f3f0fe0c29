/** What has to hold for every format of reports: cash is worth what it is, rows may come in another order, signs are looked at. */
import { expect } from 'chai';
import type { RowOutcome } from '../../../src/features/portfolios/importers/importer.ts';
import { genericReader, type GenericMapping } from '../../../src/features/portfolios/importers/generic.ts';
import { exportColumns } from '../../../src/features/portfolios/importers/pricepool.ts';
import { fingerprints, readAll, readReport, recordsOf, reported } from './support/reports.ts';

const second = '2021-05-01 10:00:00';
const time = '2021-05-01T10:00:00.000Z';
const coinbaseHeader =
  'Timestamp,Transaction Type,Asset,Quantity Transacted,Spot Price Currency,Spot Price at Transaction,Subtotal,Total (inclusive of fees),Fees,Notes';
const binanceHeader = 'User_ID,UTC_Time,Account,Operation,Coin,Change,Remark';
const krakenHeader = 'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance';
const mapping: GenericMapping = {
  columns: {
    time: 1,
    type: 2,
    receivedQuantity: 3,
    receivedSymbol: 4,
    sentQuantity: 5,
    sentSymbol: 6,
    feeQuantity: 7,
    feeSymbol: 8,
  },
  types: { trade: 'trade', in: 'transfer_in' },
};

function report(header: string): (...rows: readonly string[]) => RowOutcome[] {
  return (...rows) => readReport([header, ...rows, ''].join('\n')).outcomes;
}

function generic(...rows: readonly string[]): RowOutcome[] {
  const header = ['when', 'what', 'in', 'in of', 'out', 'out of', 'paid', 'paid in'];
  return readAll(genericReader(header, mapping), recordsOf(`${rows.join('\n')}\n`));
}

/** A row of an export, with empty cells where nothing is said. */
function exported(cells: Partial<Record<(typeof exportColumns)[number], string>>): string {
  return exportColumns.map((column) => cells[column] ?? '').join(',');
}

const coinbase = report(coinbaseHeader);
const binance = report(binanceHeader);
const kraken = report(krakenHeader);
const pricepool = report(exportColumns.join(','));

/** What came of the rows, without their lines. */
function outcomesOf(outcomes: readonly RowOutcome[]): string[] {
  return reported(outcomes).map((each) => each.replace(/^[\d+]+: /, ''));
}

describe('a sale for cash', () => {
  const sale = `${time} sell -0.5 BTC worth 20000 eur fee 10 eur`;
  const sales: Readonly<Record<string, () => RowOutcome[]>> = {
    Binance: () =>
      binance(
        `1,${second},Spot,Sell,BTC,-0.5,`,
        `1,${second},Spot,Transaction Related,EUR,20000,`,
        `1,${second},Spot,Fee,EUR,-10,`,
      ),
    Kraken: () =>
      kraken(`a,T,${second},trade,,currency,XXBT,-0.5,0,1`, `b,T,${second},trade,,currency,ZEUR,20000,10,1`),
    Coinbase: () =>
      coinbase(`${second} UTC,Sell,BTC,0.5,EUR,40000,20000,19990,10,Sold 0.5 BTC for €19990 EUR`),
    'generic CSV': () => generic(`${second},trade,20000,EUR,0.5,BTC,10,EUR`),
  };
  for (const [format, read] of Object.entries(sales)) {
    it(`is worth the cash that came in (${format})`, () => expect(outcomesOf(read())).to.deep.equal([sale]));
  }
});

describe('fingerprints', () => {
  const orders = {
    Binance: [
      binance,
      [
        `1,${second},Spot,Sell,BTC,-0.5,`,
        `1,${second},Spot,Transaction Related,EUR,20000,`,
        `1,${second},Spot,Fee,BNB,-0.1,`,
      ],
    ],
    Kraken: [
      kraken,
      [
        `a,T,${second},trade,,currency,XXBT,-0.5,0,1`,
        `b,T,${second},trade,,currency,ZEUR,20000,10,1`,
        `c,T,${second},trade,,currency,BNB,0,0,1`,
      ],
    ],
  } as const;
  for (const [format, [read, rows]] of Object.entries(orders)) {
    it(`are the same in whatever order the rows of a trade come (${format})`, () => {
      const [a, b, c] = rows;
      const all = [
        [a, b, c],
        [a, c, b],
        [b, a, c],
        [c, b, a],
      ].map((order) => fingerprints(read(...order)));
      expect(all[0]).to.have.lengthOf(1);
      expect(new Set(all.flat()).size).to.equal(1);
    });
  }

  it('are the same wherever a row stands, and of rows that say something else they differ', () => {
    const pairs: [read: (...rows: string[]) => RowOutcome[], first: string, second: string][] = [
      [binance, `1,${second},Spot,Deposit,BTC,1,`, `1,${second},Spot,Deposit,BTC,2,`],
      [kraken, `a,T,${second},deposit,,currency,XXBT,1,0,1`, `b,U,${second},deposit,,currency,XXBT,1,0,2`],
      [coinbase, `${second} UTC,Receive,BTC,1,EUR,1,1,1,0,`, `${second} UTC,Receive,BTC,2,EUR,1,1,1,0,`],
      [generic, `${second},in,1,BTC,,,,`, `${second},in,2,BTC,,,,`],
      [
        pricepool,
        exported({
          executed_at: time,
          type: 'transfer_in',
          received_asset: 'bitcoin',
          received_quantity: '1',
        }),
        exported({
          executed_at: time,
          type: 'transfer_in',
          received_asset: 'bitcoin',
          received_quantity: '2',
        }),
      ],
    ];
    for (const [read, one, other] of pairs) {
      const forwards = fingerprints(read(one, other));
      const backwards = fingerprints(read(other, one));
      expect(forwards, one).to.have.lengthOf(2);
      expect(new Set(forwards).size, one).to.equal(2);
      expect(backwards, one).to.deep.equal(forwards.toReversed());
      expect(fingerprints(read(other)), one).to.deep.equal([forwards[1]]);
    }
  });
});

describe('a deposit with a minus', () => {
  it('is nothing that came in', () => {
    expect(outcomesOf(binance(`1,${second},Spot,Deposit,BTC,-1,`))).to.deep.equal([
      'Operation: "Deposit" of "-1" is not known',
    ]);
    // Kraken takes a deposit back by a row like it with a minus.
    expect(outcomesOf(kraken(`a,T,${second},deposit,,currency,XXBT,-1,0,1`))).to.deep.equal([
      `${time} transfer_out -1 BTC`,
    ]);
    expect(outcomesOf(coinbase(`${second} UTC,Receive,BTC,-1,EUR,1,1,1,0,`))).to.deep.equal([
      'Quantity Transacted: must not be less than 0',
    ]);
    expect(outcomesOf(generic(`${second},in,-1,BTC,,,,`))).to.deep.equal(['in: must not be less than 0']);
    const row = {
      executed_at: time,
      type: 'transfer_in',
      received_asset: 'bitcoin',
      received_quantity: '-1',
    };
    expect(outcomesOf(pricepool(exported(row)))).to.deep.equal([
      'received_quantity: must not be less than 0',
    ]);
  });

  it('nor is a withdrawal without one something that went out, nor a reward with one a reward', () => {
    for (const [operation, change] of [
      ['Withdraw', '1'],
      ['Send', '1'],
      ['Staking Rewards', '-1'],
    ] as const)
      expect(outcomesOf(binance(`1,${second},Spot,${operation},BTC,${change},`))).to.deep.equal([
        `Operation: "${operation}" of "${change}" is not known`,
      ]);
    expect(outcomesOf(kraken(`a,T,${second},withdrawal,,currency,XXBT,1,0,1`))).to.deep.equal([
      `${time} transfer_in +1 BTC`,
    ]);
    expect(outcomesOf(kraken(`a,T,${second},staking,,currency,XXBT,-1,0,1`))).to.deep.equal([
      'type: "staking" is not known',
    ]);
  });
});

describe('a fee of the wrong sign', () => {
  it('is refused by every format', () => {
    const sign = 'must not be less than 0';
    const fee = `Coin: has more than one fee at the same time`;
    const trade = [`1,${second},Spot,Sell,BTC,-0.5,`, `1,${second},Spot,Transaction Related,EUR,20000,`];
    expect(outcomesOf(binance(...trade, `1,${second},Spot,Fee,BNB,0.1,`))).to.deep.equal([fee, fee, fee]);
    expect(outcomesOf(kraken(`a,T,${second},deposit,,currency,XXBT,1,-0.1,1`))).to.deep.equal([
      `fee: ${sign}`,
    ]);
    const halves = [
      `a,T,${second},trade,,currency,XXBT,-0.5,0,1`,
      `b,T,${second},trade,,currency,ZEUR,20000,-10,1`,
    ];
    expect(outcomesOf(kraken(...halves))).to.deep.equal([`fee: ${sign}`, `fee: ${sign}`]);
    expect(outcomesOf(coinbase(`${second} UTC,Sell,BTC,0.5,EUR,1,20000,19990,-10,`))).to.deep.equal([
      `Fees: ${sign}`,
    ]);
    expect(outcomesOf(generic(`${second},trade,20000,EUR,0.5,BTC,-10,EUR`))).to.deep.equal([`paid: ${sign}`]);
    const sale = { executed_at: time, type: 'sell', sent_asset: 'bitcoin', sent_quantity: '1', value: '1' };
    const paid = { fee_asset: 'bitcoin', fee_quantity: '-1', fee_value: '1', currency: 'eur' };
    expect(outcomesOf(pricepool(exported({ ...sale, ...paid })))).to.deep.equal([`fee_quantity: ${sign}`]);
    const worth = { ...paid, fee_quantity: '1', fee_value: '-1' };
    expect(outcomesOf(pricepool(exported({ ...sale, ...worth })))).to.deep.equal([`fee_value: ${sign}`]);
  });
});

describe('an export of Pricepool', () => {
  it('is read with the columns of earlier versions too', () => {
    const sale = { executed_at: time, type: 'sell', sent_asset: 'bitcoin', sent_quantity: '1', value: '1' };
    const cells = exported({ ...sale, currency: 'eur' });
    const former = report(exportColumns.map((column) => column.replace('sent_', 'given_')).join(','));
    expect(outcomesOf(former(cells))).to.deep.equal(outcomesOf(pricepool(cells)));
    expect(outcomesOf(former(cells))).to.have.length(1);
  });
});
