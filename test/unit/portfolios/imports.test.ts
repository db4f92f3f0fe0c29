import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { formatAmount, parseAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import { reportUnder } from '../../../src/features/portfolios/importers/read-report.ts';
import {
  genericReader,
  readMapping,
  type GenericMapping,
} from '../../../src/features/portfolios/importers/generic.ts';
import { krakenSymbol } from '../../../src/features/portfolios/importers/kraken.ts';
import { readNumber, type NumberStyle, readTime } from '../../../src/features/portfolios/importers/cells.ts';
import { ValidationError } from '../../../src/domain/errors.ts';
import { fingerprints, readAll, readReport, recordsOf, reported } from './support/reports.ts';

const lines = (...rows: string[]): string => `${rows.join('\n')}\n`;

const coinbaseHeader =
  'ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,Total (inclusive of fees and/or spread),Fees and/or Spread,Notes';

describe('Coinbase reports', () => {
  it('of today are read, with currency signs, conversions and ETH2', () => {
    const { format, outcomes } = readReport(
      lines(
        '"You can use this transaction report to inform your likely tax obligations."',
        coinbaseHeader,
        'a1,2025-01-17 16:57:02 UTC,Staking Income,ETH,0.000037835729,EUR,€3343.1,€0.12649,€0.12649,€0.00,',
        'a2,2025-01-07 19:26:56 UTC,Send,ETH2,-0.18,EUR,€3302.65089790771330261,-€597.4,-€597.4,€0.00,Sent 0.18 ETH2s',
        'a3,2025-01-07 19:26:56 UTC,Receive,ETH,0.18,EUR,€3302.6,€597.4,€597.4,€0.00,Received 0.18 ETHs',
        'a4,2024-12-05 06:33:40 UTC,Convert,BTC,0.00363125,EUR,€96847.4,€338.92698,€351.66322,,"Converted 0.00363125 BTC to 1,156.145683 XRP"',
        'a5,2023-05-28 06:23:38 UTC,Convert,ETH,0.17305191,EUR,€1723.8,€298.3,€298.2,,Converted 0.17305191 ETH to 0.17305191 ETH2',
        'a6,2022-03-25 06:45:27 UTC,Buy,BTC,0.00166779,EUR,€39999.3,€67.01,€70.00,€2.99,Bought 0.00166779 BTC for 70 EUR',
        'a7,2022-03-26 06:45:27 UTC,Send,ETH,-0.5,EUR,€2800,-€1400,-€1400,€0.00,Sent 0.5 ETH',
        'a8,2022-03-27 06:45:27 UTC,Deposit,EUR,100,EUR,€1,€100,€100,€0.00,',
      ),
    );
    expect(format).to.equal('coinbase');
    expect(reported(outcomes)).to.deep.equal([
      '3: 2025-01-17T16:57:02.000Z reward +0.000037835729 ETH worth 0.12649 eur',
      '4: skipped: ETH2 became ETH: nothing changed hands',
      '5: skipped: ETH2 became ETH: nothing changed hands',
      '6: 2024-12-05T06:33:40.000Z swap +1156.145683 XRP -0.00363125 BTC worth 338.92698 eur',
      '7: skipped: ETH became ETH2: nothing changed hands',
      '8: 2022-03-25T06:45:27.000Z buy +0.00166779 BTC worth 67.01 eur fee 2.99 eur',
      '9: 2022-03-26T06:45:27.000Z transfer_out -0.5 ETH worth 1400 eur',
      '10: skipped: cash is not tracked',
    ]);
  });

  it('keep a transfer of ether that a row of no use follows', () => {
    const { outcomes } = readReport(
      lines(
        coinbaseHeader,
        'b1,2025-01-07 19:26:56 UTC,Receive,ETH,0.18,EUR,€3302.6,€597.4,€597.4,€0.00,Received 0.18 ETHs',
        'b2,2025-01-08 19:26:56 UTC,Divination,ETH,1,EUR,€3302.6,€3302.6,€3302.6,€0.00,',
      ),
    );
    expect(reported(outcomes)).to.deep.equal([
      '2: 2025-01-07T19:26:56.000Z transfer_in +0.18 ETH worth 597.4 eur',
      '3: Transaction Type: "Divination" is not known',
    ]);
  });

  it('of old are read, with the currency in a column or in the names of the columns', () => {
    const column = readReport(
      lines(
        'Timestamp,Transaction Type,Asset,Quantity Transacted,Spot Price Currency,Spot Price at Transaction,Subtotal,Total (inclusive of fees),Fees,Notes',
        '2021-03-01T10:00:00Z,Sell,ETH,2,USD,1500,3000,2985,15,Sold 2 ETH for $2985.00 USD',
        '2021-03-02T10:00:00Z,Advanced Trade Buy,ETH,2,USD,1500,3000,3010,10,Bought 2 ETH for 0.06 BTC on ETH-BTC at 0.03 BTC/ETH',
        '2021-03-03T10:00:00Z,Receive,BTC,0.1,USD,50000,"","","",Received 0.1 BTC from an external account',
      ),
    );
    expect(reported(column.outcomes)).to.deep.equal([
      '2: 2021-03-01T10:00:00.000Z sell -2 ETH worth 3000 usd fee 15 usd',
      '3: 2021-03-02T10:00:00.000Z swap +2 ETH -0.06 BTC worth 3000 usd fee 10 usd',
      '4: 2021-03-03T10:00:00.000Z transfer_in +0.1 BTC',
    ]);
    const names = readReport(
      lines(
        'Timestamp,Transaction Type,Asset,Quantity Transacted,GBP Spot Price at Transaction,GBP Subtotal,GBP Total (inclusive of fees),GBP Fees,Notes',
        '2019-03-01T10:00:00Z,Coinbase Earn,XLM,10,0.1,1,1,0,',
      ),
    );
    expect(reported(names.outcomes)).to.deep.equal([
      '2: 2019-03-01T10:00:00.000Z reward +10 XLM worth 1 gbp',
    ]);
  });

  it('tell line, column and reason of a bad row, and read on', () => {
    const row = (...cells: string[]): string => cells.join(',');
    const { outcomes } = readReport(
      lines(
        coinbaseHeader,
        row('a', '2025-02-30 16:57:02 UTC', 'Buy', 'BTC', '1', 'EUR', '€1', '€1', '€1', '€0', ''),
        row('b', '2025-01-17 16:57:02 UTC', 'Buy', 'BTC', '1.2.3', 'EUR', '€1', '€1', '€1', '€0', ''),
        row('c', '2025-01-17 16:57:02 UTC', 'Buy', 'BTC', '0', 'EUR', '€1', '€1', '€1', '€0', ''),
        row('d', '2025-01-17 16:57:02 UTC', 'Juggle', 'BTC', '1', 'EUR', '€1', '€1', '€1', '€0', ''),
        row('e', '2025-01-17 16:57:02 UTC', 'Buy', 'BTC', '1', 'EUR', '€1', '"€1,50"', '€1', '€0', ''),
        row(
          'f',
          '2025-01-17 16:57:02 UTC',
          'Convert',
          'BTC',
          '1',
          'EUR',
          '€1',
          '€1',
          '€1',
          '',
          'Converted 2 BTC to 3 XRP',
        ),
        row('g', '2025-01-17 16:57:02 UTC', 'Buy', 'BTC', '1', 'EUR'),
        row('h', '2025-01-17 16:57:02 UTC', 'Buy', 'BTC', '1', 'XXX', '€1', '€1', '€1', '€0', ''),
        row('i', '2025-01-17 16:57:02 UTC', 'Buy', 'BTC', '1', 'EUR', '€1', '€1', '€1', '€0', ''),
      ),
    );
    expect(reported(outcomes)).to.deep.equal([
      '2: Timestamp: "2025-02-30 16:57:02 UTC" is not a time written like 2024-01-31 09:30:00 UTC',
      '3: Quantity Transacted: "1.2.3" is not a number written like 1234.56',
      '4: Quantity Transacted: must not be 0',
      '5: Transaction Type: "Juggle" is not known',
      '6: Subtotal: "€1,50" is not a number written like 1234.56',
      '7: Notes: do not match Asset and Quantity Transacted',
      '8: row: has 6 cells, the header has 11',
      '9: Price Currency: "XXX" is not a currency',
      '10: 2025-01-17T16:57:02.000Z buy +1 BTC worth 1 eur',
    ]);
  });

  it('exported for real are read (COINBASE_EXPORT)', function () {
    const path = process.env.COINBASE_EXPORT;
    if (path === undefined) return this.skip();
    const csv = readFileSync(path, 'utf8');
    const { outcomes } = readReport(csv);
    expect(outcomes.filter(({ kind }) => kind === 'problem')).to.deep.equal([]);
    expect(reported(outcomes)).to.deep.equal([
      '2: 2025-01-17T16:57:02.000Z reward +0.000037835729 ETH worth 0.12649 eur',
      '3: 2025-01-14T16:36:01.000Z reward +0.000022652183 ETH worth 0.07027 eur',
      '4: skipped: ETH2 became ETH: nothing changed hands',
      '5: skipped: ETH2 became ETH: nothing changed hands',
      '6: 2024-12-05T06:33:40.000Z swap +156.145683 XRP -0.00363125 BTC worth 338.92698 eur',
      '7: skipped: ETH became ETH2: nothing changed hands',
      '8: 2022-03-25T06:45:27.000Z buy +0.00166779 BTC worth 67.01 eur fee 2.99 eur',
      '9: 2022-03-25T06:45:27.000Z buy +0.00166779 BTC worth 67.01 usd fee 2.99 usd',
    ]);
    expect(new Set(fingerprints(outcomes)).size).to.equal(5);
    expect(fingerprints(readReport(csv).outcomes)).to.deep.equal(fingerprints(outcomes));
  });
});

const binanceHeader = 'User_ID,UTC_Time,Account,Operation,Coin,Change,Remark';

describe('Binance statements', () => {
  it('join the rows of a trade by their moment', () => {
    const { format, outcomes } = readReport(
      lines(
        binanceHeader,
        '1,2021-05-01 10:00:00,Spot,Deposit,EUR,500,""',
        '1,2021-05-01 10:00:01,Spot,Buy,ETH,0.1,""',
        '1,2021-05-01 10:00:01,Spot,Fee,BNB,-0.0004,""',
        '1,2021-05-01 10:00:01,Spot,Transaction Related,EUR,-250,""',
        '1,2021-05-01 10:00:01,Spot,Buy,ETH,1E-8,""',
        '1,2021-05-01 10:05:00,Spot,Transaction Sold,ETH,-0.05,""',
        '1,2021-05-01 10:05:00,Spot,Transaction Revenue,BTC,0.003,""',
        '1,21-05-02 00:00:00,Earn,Simple Earn Flexible Interest,ETH,0.00000001,""',
        '1,2021-05-03 00:00:00,Spot,Withdraw,BTC,-0.001,"Withdraw fee is included"',
        '1,2021-05-03 00:00:00,Spot,Simple Earn Flexible Subscription,BTC,-0.001,""',
        '1,2021-05-04 00:00:00,Spot,Binance Convert,BTC,-0.001,""',
        '1,2021-05-04 00:00:00,Spot,Binance Convert,USDT,56.1,""',
      ),
    );
    expect(format).to.equal('binance');
    expect(reported(outcomes)).to.have.members([
      '2: skipped: cash is not tracked',
      '3+4+5+6: 2021-05-01T10:00:01.000Z buy +0.10000001 ETH worth 250 eur fee 0.0004 BNB',
      '7+8: 2021-05-01T10:05:00.000Z swap +0.003 BTC -0.05 ETH',
      '9: 2021-05-02T00:00:00.000Z reward +0.00000001 ETH',
      '10: 2021-05-03T00:00:00.000Z transfer_out -0.001 BTC',
      '11: skipped: moves between your own accounts',
      '12+13: 2021-05-04T00:00:00.000Z swap +56.1 USDT -0.001 BTC',
    ]);
  });

  it('keep trades of two accounts at one moment apart', () => {
    const at = '2021-05-04 00:00:00';
    const { outcomes } = readReport(
      lines(
        binanceHeader,
        `1,${at},Spot,Binance Convert,BTC,-0.001,""`,
        `1,${at},Funding,Binance Convert,ETH,-0.02,""`,
        `1,${at},Spot,Binance Convert,USDT,56.1,""`,
        `1,${at},Funding,Binance Convert,USDC,60,""`,
      ),
    );
    expect(reported(outcomes)).to.have.members([
      '2+4: 2021-05-04T00:00:00.000Z swap +56.1 USDT -0.001 BTC',
      '3+5: 2021-05-04T00:00:00.000Z swap +60 USDC -0.02 ETH',
    ]);
  });

  it('take staked ETH for ETH', () => {
    const { outcomes } = readReport(
      lines(binanceHeader, '1,2021-05-05 00:00:00,Spot,ETH 2.0 Staking Rewards,ETH2,0.0001,""'),
    );
    expect(reported(outcomes)).to.deep.equal(['2: 2021-05-05T00:00:00.000Z reward +0.0001 ETH']);
  });

  it('pass over ETH that became ETH2, but not another quantity of it', () => {
    const rows = (at: string, ...changes: [string, string][]): string[] =>
      changes.map(([coin, change]) => `1,${at},Spot,ETH 2.0 Staking,${coin},${change},""`);
    const { outcomes } = readReport(
      lines(
        binanceHeader,
        ...rows('2021-05-05 00:00:00', ['ETH', '-0.3'], ['ETH2', '0.3']),
        ...rows('2021-05-06 00:00:00', ['ETH2', '0.1'], ['ETH', '-0.1'], ['ETH', '-2'], ['ETH2', '2']),
        ...rows('2021-05-07 00:00:00', ['ETH', '-0.3'], ['ETH2', '0.2']),
        ...rows('2021-05-08 00:00:00', ['ETH', '-0.3'], ['BETH', '0.3']),
      ),
    );
    const reason = 'Change: "ETH" was both received and sent at that time; the rows cannot be paired';
    expect(reported(outcomes)).to.deep.equal([
      ...[2, 3, 4, 5, 6, 7].map(
        (line) => `${line}: skipped: ETH and ETH2 are the same asset: nothing changed hands`,
      ),
      `8: ${reason}`,
      `9: ${reason}`,
      '10+11: 2021-05-08T00:00:00.000Z swap +0.3 BETH -0.3 ETH',
    ]);
  });

  it('refuse what cannot be told apart, on every line of it', () => {
    const { outcomes } = readReport(
      lines(
        binanceHeader,
        '1,2021-05-01 10:00:01,Spot,Buy,ETH,0.1,""',
        '1,2021-05-01 10:00:01,Spot,Buy,XRP,5,""',
        '1,2021-05-01 10:00:01,Spot,Transaction Related,EUR,-250,""',
        '1,2021-05-02 10:00:00,USD-MFutures,Fee,USDT,-1,""',
        '1,2021-05-02 10:00:00,Spot,Distribution,XRP,-1,""',
      ),
    );
    const reason = 'Operation: has the same time as rows that do not form one trade of two coins';
    expect(reported(outcomes)).to.have.members([
      `2: ${reason}`,
      `3: ${reason}`,
      `4: ${reason}`,
      '5: Account: "USD-MFutures" is not supported',
      '6: Operation: "Distribution" of "-1" is not known',
    ]);
  });

  it('name equal fills of one moment apart, and alike in every reading', () => {
    const row = '1,2021-05-01 10:00:00,Spot,Staking Rewards,DOT,0.1,""';
    const csv = lines(binanceHeader, row, row, row);
    const first = fingerprints(readReport(csv).outcomes);
    expect(new Set(first).size).to.equal(3);
    expect(fingerprints(readReport(csv).outcomes)).to.deep.equal(first);
    expect(first).to.include.members(fingerprints(readReport(lines(binanceHeader, row)).outcomes));
  });
});

const krakenHeader = 'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance';

describe('Kraken ledgers', () => {
  it('join the rows of a trade by their refid', () => {
    const { format, outcomes } = readReport(
      lines(
        krakenHeader,
        ',R0,2021-01-01 09:00:00,deposit,,currency,ZEUR,1000,0,',
        'L0,R0,2021-01-01 09:00:00,deposit,,currency,ZEUR,1000,0,1000',
        'L1,T1,2021-01-01 10:00:00,trade,,currency,ZEUR,-100.0000,0.2600,899.74',
        'L3,T2,2021-01-01 10:00:00.1234,trade,,currency,XETH,-0.1,0,0.9',
        'L2,T1,2021-01-01 10:00:00,trade,,currency,XXBT,0.0025,0,0.0025',
        'L4,T2,2021-01-01 10:00:00.1234,trade,,currency,XXBT,0.004,0.00001,0.00649',
        'L5,R3,2021-02-01 10:00:00,spend,,currency,ZUSD,-50,0.75,1',
        'L6,R3,2021-02-01 10:00:00,receive,,currency,DOT,2,0,2',
        'L7,R4,2021-02-02 10:00:00,transfer,spottostaking,currency,DOT,-2,0,0',
        'L8,R5,2021-02-09 10:00:00,staking,,currency,DOT28.S,0.01,0.001,2.009',
        'L9,R6,2021-02-10 10:00:00,withdrawal,,currency,XXBT,-0.001,0.0002,0',
        'L10,R7,2021-02-11 10:00:00,earn,autoallocation,currency,ETH.F,1,0,0',
        'L11,R8,2021-02-12 10:00:00,margin,,currency,ZUSD,-1,0,0',
      ),
    );
    expect(format).to.equal('kraken');
    expect(reported(outcomes)).to.have.members([
      '2: skipped: an entry without txid is not settled',
      '3: skipped: cash is not tracked',
      '4+6: 2021-01-01T10:00:00.000Z buy +0.0025 BTC worth 100 eur fee 0.26 eur',
      '5+7: 2021-01-01T10:00:00.123Z swap +0.004 BTC -0.1 ETH fee 0.00001 BTC',
      '8+9: 2021-02-01T10:00:00.000Z buy +2 DOT worth 50 usd fee 0.75 usd',
      '10: skipped: moves between your own accounts',
      '11: 2021-02-09T10:00:00.000Z reward +0.01 DOT fee 0.001 DOT',
      '12: 2021-02-10T10:00:00.000Z transfer_out -0.001 BTC fee 0.0002 BTC',
      '13: skipped: moves between your own accounts',
      '14: skipped: cash is not tracked',
    ]);
  });

  it('tell of a trade whose other half is missing', () => {
    const { outcomes } = readReport(
      lines(krakenHeader, 'L1,T1,2021-01-01 10:00:00,trade,,currency,ZEUR,-100.0000,0.2600,899.74'),
    );
    expect(reported(outcomes)).to.deep.equal(['2: refid: does not pair one received row with one sent row']);
  });

  it('hold no more than a minute of rows back', () => {
    const { reader } = reportUnder(krakenHeader.split(','))!;
    const row = (id: string, time: string): string[] => [
      id,
      id,
      time,
      'trade',
      '',
      'currency',
      'XXBT',
      '1',
      '0',
      '1',
    ];
    expect(reader.read(row('a', '2021-01-01 10:00:00'), 2)).to.deep.equal([]);
    expect(reader.read(row('b', '2021-01-01 10:00:59'), 3)).to.deep.equal([]);
    expect(reader.read(row('c', '2021-01-01 10:01:30'), 4).map(({ kind }) => kind)).to.deep.equal([
      'problem',
    ]);
    expect(reader.end()).to.have.length(2);
  });

  for (const [written, symbol] of [
    ['XXBT', 'BTC'],
    ['XBT.M', 'BTC'],
    ['XETH', 'ETH'],
    ['ETH2.S', 'ETH'],
    ['ETH2', 'ETH'],
    ['ZUSD', 'USD'],
    ['EUR.HOLD', 'EUR'],
    ['DOT28.S', 'DOT'],
    ['DOT.P', 'DOT'],
    ['XXDG', 'DOGE'],
    ['XTZ.S', 'XTZ'],
    ['ZRX', 'ZRX'],
    ['1INCH', '1INCH'],
  ] as const) {
    it(`mean ${symbol} by ${written}`, () => expect(krakenSymbol(written)).to.equal(symbol));
  }
});

describe('generic CSV', () => {
  const header = ['Type', 'Buy', 'Cur.', 'Sell', 'Cur.', 'Fee', 'Cur.', 'Comment', 'Date'];
  const mapping: GenericMapping = {
    columns: {
      time: 'Date',
      type: 'Type',
      receivedQuantity: 'Buy',
      receivedSymbol: 3,
      sentQuantity: 'Sell',
      sentSymbol: 5,
      feeQuantity: 'Fee',
      feeSymbol: 7,
      note: 'Comment',
    },
    types: { Trade: 'trade', Deposit: 'transfer_in', Staking: 'reward' },
    numbers: { decimal: ',', thousands: '.' },
  };

  it('is read by a mapping of earlier versions', () => {
    const { sentQuantity: givenQuantity, sentSymbol: givenSymbol, ...columns } = mapping.columns;
    const former = { ...mapping, columns: { ...columns, givenQuantity, givenSymbol } };
    expect(readMapping(JSON.stringify(former))).to.deep.equal(mapping);
    expect(readMapping(JSON.stringify(mapping))).to.deep.equal(mapping);
  });

  it('is read by its mapping, numbers in their own style', () => {
    const csv = lines(
      'Trade,"1,5",BTC,"45.000,00",EUR,"12,50",EUR,,2021-01-01 10:00:00',
      'Trade,1,ETH,"0,05",BTC,,,,2021-01-02 10:00:00',
      'Deposit,100,EUR,,,,,,2021-01-03 10:00:00',
      'Staking,"0,1",ETH,,,,,,2021-01-04T10:00:00+02:00',
      'Trade,1.5,ETH,"0,05",BTC,,,,2021-01-02 10:00:00',
      'Gift,1,ETH,,,,,,2021-01-02 10:00:00',
      'Trade,1,ETH,,,,,,2021-01-02 10:00:00',
    );
    expect(reported(readAll(genericReader(header, mapping), recordsOf(csv)))).to.deep.equal([
      '1: 2021-01-01T10:00:00.000Z buy +1.5 BTC worth 45000 eur fee 12.5 eur',
      '2: 2021-01-02T10:00:00.000Z swap +1 ETH -0.05 BTC',
      '3: skipped: cash is not tracked',
      '4: 2021-01-04T08:00:00.000Z reward +0.1 ETH',
      '5: Buy: "1.5" is not a number written like 1.234,56',
      '6: Type: "Gift" is not among the types of the mapping',
      '7: row: a trade needs what was received and what was sent',
    ]);
  });

  it('refuses a mapping that does not fit, field by field', () => {
    const wrong = {
      ...mapping,
      columns: { time: 'When', type: 'Type', feeSymbol: 'Cur.' },
      types: { x: 'steal' as never },
    };
    try {
      genericReader(header, wrong);
      expect.fail('it was taken');
    } catch (error) {
      expect(error).to.be.instanceOf(ValidationError);
      expect((error as ValidationError).fields?.map(({ field }) => field)).to.deep.equal([
        'columns.time',
        'columns.feeSymbol',
        'types.x',
      ]);
    }
  });
});

describe('numbers in reports', () => {
  const english: NumberStyle = { decimal: '.', thousands: ',' };
  for (const [text, style, expected] of [
    ['€3343.11229989', undefined, '3343.11229989'],
    ['-€597.49846', undefined, '-597.49846'],
    ['€-5', undefined, '-5'],
    ['$1,234,567.80', english, '1234567.8'],
    ['1.234.567,80', { decimal: ',', thousands: '.' }, '1234567.8'],
    ["1'234.5", { decimal: '.', thousands: "'" }, '1234.5'],
    ['1E-8', undefined, '0.00000001'],
    ['9.20e-7', undefined, '0.00000092'],
    ['1.5E3', undefined, '1500'],
    ['0.10', undefined, '0.1'],
    ['000', undefined, '0'],
  ] as const) {
    it(`read ${text} as ${expected}`, () => expect(readNumber(text, 'n', style)).to.equal(expected));
  }

  for (const [text, style] of [
    ['1,234', undefined],
    ['1,23', english],
    ['12,34.5', english],
    ['1,2345', english],
    ['1.234,5', english],
    ['', undefined],
    ['.5', undefined],
    ['5.', undefined],
    ['+5', undefined],
    ['--5', undefined],
    ['1 000', undefined],
    ['0x10', undefined],
    ['NaN', undefined],
    ['Infinity', undefined],
    ['٣', undefined],
    ['1e400', undefined],
    ['1e-400', undefined],
    ['0.1234567890123456789', undefined],
    ['123456789012345678901', undefined],
    ['1'.repeat(40), undefined],
    ['=1+1', undefined],
  ] as const) {
    it(`refuse ${text === '' ? 'nothing' : text}`, () => {
      expect(() => readNumber(text, 'n', style)).to.throw();
    });
  }

  it('keep every digit', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }), (units) => {
        const text = formatAmount(units);
        expect(parseAmount(text)).to.equal(units);
        expect(readNumber(text, 'n')).to.equal(text);
      }),
    );
  });
});

describe('times in reports', () => {
  for (const [text, iso] of [
    ['2025-01-17 16:57:02 UTC', '2025-01-17T16:57:02.000Z'],
    ['2025-01-17T16:57:02Z', '2025-01-17T16:57:02.000Z'],
    ['21-02-28 00:00:00', '2021-02-28T00:00:00.000Z'],
    ['2024-02-29 23:59:59.9876', '2024-02-29T23:59:59.987Z'],
  ] as const) {
    it(`read ${text}`, () => expect(new Date(readTime(text, 't')).toISOString()).to.equal(iso));
  }
  for (const text of [
    '',
    '2023-02-29 00:00:00',
    '2021-13-01 00:00:00',
    '2021-01-01',
    '01/02/2021 10:00',
    '2021-01-01 25:00:00',
  ]) {
    it(`refuse ${text === '' ? 'nothing' : text}`, () => expect(() => readTime(text, 't')).to.throw());
  }
});
