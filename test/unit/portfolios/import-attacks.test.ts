/** Files that are made to hurt, and rows whose signs or characters say what no exchange writes. */
import { expect } from 'chai';
import { reportUnder } from '../../../src/features/portfolios/importers/read-report.ts';
import { genericReader, type GenericMapping } from '../../../src/features/portfolios/importers/generic.ts';
import type { ReportReader, RowOutcome } from '../../../src/features/portfolios/importers/importer.ts';
import { readNumber, shown } from '../../../src/features/portfolios/importers/cells.ts';
import { ValidationError } from '../../../src/domain/errors.ts';
import { fingerprints, reported } from './support/reports.ts';

const coinbaseHeader =
  'ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,Total,Fees,Notes';
const binanceHeader = 'User_ID,UTC_Time,Account,Operation,Coin,Change,Remark';
const krakenHeader = 'txid,refid,time,type,subtype,asset,amount,fee,balance';
const genericHeader = [
  'when',
  'what',
  'in',
  'in of',
  'out',
  'out of',
  'fee',
  'fee of',
  'worth',
  'money',
  'note',
];
const mapping: GenericMapping = {
  columns: {
    time: 'when',
    type: 'what',
    receivedQuantity: 'in',
    receivedSymbol: 'in of',
    sentQuantity: 'out',
    sentSymbol: 'out of',
    feeQuantity: 'fee',
    feeSymbol: 'fee of',
    value: 'worth',
    valueCurrency: 'money',
    note: 'note',
  },
  types: { trade: 'trade', buy: 'buy', sell: 'sell', in: 'transfer_in', out: 'transfer_out' },
};

/** A known reader by its header. */
const readerOf = (header: string): ReportReader => reportUnder(header.split(','))!.reader;

/** What comes of rows, the first of them on line 1. */
const read = (reader: ReportReader, rows: Iterable<readonly string[]>): RowOutcome[] => {
  const outcomes: RowOutcome[] = [];
  let line = 0;
  for (const row of rows) for (const outcome of reader.read(row, ++line)) outcomes.push(outcome);
  for (const outcome of reader.end()) outcomes.push(outcome);
  return outcomes;
};

const readText = (header: string, ...rows: string[]): string[] =>
  reported(
    read(
      readerOf(header),
      rows.map((row) => row.split(',')),
    ),
  );
const readGeneric = (...rows: string[]): string[] =>
  reported(
    read(
      genericReader(genericHeader, mapping),
      rows.map((row) => row.split(',')),
    ),
  );

const second = '2021-05-01 10:00:00';

function* rowsOf(count: number, row: (n: number) => string): Generator<readonly string[]> {
  for (let n = 0; n < count; n++) yield row(n).split(',');
}

describe('files that are made to hurt', () => {
  for (const [name, header, row] of [
    ['Kraken', krakenHeader, (n: number) => `L${n},T,${second},trade,,XXBT,1,0,1`],
    ['Binance', binanceHeader, () => `1,${second},Spot,Buy,BTC,1,`],
  ] as const) {
    it(`of 130,000 rows that ${name} would call one transaction are refused row by row`, () => {
      const outcomes = read(readerOf(header), rowsOf(130_000, row));
      expect(outcomes).to.have.length(130_000);
      expect(new Set(outcomes.map((each) => (each.kind === 'problem' ? each.line : 0))).size).to.equal(
        130_000,
      );
      expect(reported(outcomes.slice(0, 1))).to.deep.equal([
        '1: row: belongs to a transaction of more than 1000 rows',
      ]);
    });
  }

  it('of as many rows as one transaction may have are read', () => {
    const cash = `1,${second},Spot,Transaction Related,EUR,-999,`.split(',');
    const rows = [cash, ...rowsOf(999, () => `1,${second},Spot,Buy,BTC,1,`)];
    const [outcome, ...more] = read(readerOf(binanceHeader), rows);
    expect(more).to.deep.equal([]);
    expect(outcome?.kind === 'transaction' && outcome.transaction.received).to.deep.equal({
      symbol: 'BTC',
      quantity: '999',
    });
  });

  it('of more beginnings in one minute than are held back are read to the end', () => {
    const outcomes = read(
      readerOf(krakenHeader),
      rowsOf(100_000, (n) => `L${n},T${n},${second},trade,,XXBT,1,0,1`),
    );
    expect(outcomes).to.have.length(100_000);
  });

  it('that jump in time hold back no more than others', () => {
    const reader = readerOf(krakenHeader);
    let held = 0;
    for (const row of rowsOf(60_000, (n) => {
      const time = n % 2 === 0 ? second : '2021-05-01 12:00:00';
      return `L${n},T${n},${n === 0 ? second : time},trade,,XXBT,1,0,1`;
    }))
      held += 1 - reader.read(row, 1).length;
    expect(held).to.be.at.most(20_000);
    expect(reader.end()).to.have.length(held);
  });

  it('with numbers of endless zeros are refused by the length of the cell', () => {
    expect(() => readNumber(`1.${'0'.repeat(80_000)}1`, 'n')).to.throw('longer than 100 characters');
    expect(() => readNumber('1e-999', 'n')).to.throw();
    expect(readNumber(`${'0'.repeat(60)}1.50`, 'n')).to.equal('1.5');
  });

  it('with endless headers are refused, known or mapped', () => {
    const many = [...krakenHeader.split(','), ...Array.from({ length: 80_000 }, (_, n) => `c${n}`)];
    const fieldsOf = (header: () => unknown): unknown => {
      try {
        return header();
      } catch (error) {
        return error instanceof ValidationError ? error.fields : error;
      }
    };
    const expected = [{ field: 'header', message: 'has more than 500 columns' }];
    expect(fieldsOf(() => reportUnder(many))).to.deep.equal(expected);
    expect(fieldsOf(() => genericReader([...genericHeader, ...many], mapping))).to.deep.equal(expected);
    expect(fieldsOf(() => reportUnder([...krakenHeader.split(','), 'x\u0000y']))).to.deep.equal([
      { field: 'header', message: 'the name of column 10 is longer than 200 characters or not text' },
    ]);
    expect(fieldsOf(() => reportUnder([...krakenHeader.split(','), 'time']))).to.deep.equal([
      { field: 'header', message: 'time' },
    ]);
    // What stands before the header may be anything.
    expect(fieldsOf(() => reportUnder(['\u0000', 'time', 'time']))).to.equal(undefined);
  });
});

describe('a minus', () => {
  const row = (kind: string, quantity: string, money: string): string =>
    `i,${second} UTC,${kind},BTC,${quantity},EUR,€1,${money},`;

  it('is taken from Coinbase where it writes one: for what goes out', () => {
    expect(
      readText(
        coinbaseHeader,
        row('Sell', '-0.1', '€350,€349.5,€0.5'),
        row('Sell', '-0.1', '-€350,-€349.5,€0.5'),
        row('Send', '-0.1', '-€350,-€350,€0'),
      ),
    ).to.deep.equal([
      '1: 2021-05-01T10:00:00.000Z sell -0.1 BTC worth 350 eur fee 0.5 eur',
      '2: 2021-05-01T10:00:00.000Z sell -0.1 BTC worth 350 eur fee 0.5 eur',
      '3: 2021-05-01T10:00:00.000Z transfer_out -0.1 BTC worth 350 eur',
    ]);
  });

  it('is refused in a Coinbase report where it says something else', () => {
    const reason = 'must not be less than 0';
    expect(
      readText(
        coinbaseHeader,
        row('Buy', '-1', '€100,€100,€0'),
        row('Buy', '1', '-€100,€100,€0'),
        row('Buy', '1', '€100,€100,€-0.5'),
        row('Sell', '-1', '€100,€100,-€0.5'),
        row('Sell', '1', '-€100,€100,€0'),
        row('Receive', '-1', '€100,€100,€0'),
        row('Staking Income', '1', '€100,-€100,€0'),
        row('Juggle', '-1', '€100,€100,€0'),
      ),
    ).to.deep.equal([
      `1: Quantity Transacted: ${reason}`,
      `2: Subtotal: ${reason}`,
      `3: Fees: ${reason}`,
      `4: Fees: ${reason}`,
      `5: Subtotal: ${reason}`,
      `6: Quantity Transacted: ${reason}`,
      `7: Total: ${reason}`,
      '8: Transaction Type: "Juggle" is not known',
    ]);
  });

  it('is refused in a mapped file, but for what goes out', () => {
    const reason = 'must not be less than 0';
    expect(
      readGeneric(
        `${second},trade,-1,BTC,100,EUR,,,,,`,
        `${second},trade,1,BTC,100,EUR,-5,EUR,,,`,
        `${second},in,1,BTC,,,,,-100,EUR,`,
        `${second},trade,1,BTC,-100,EUR,5,EUR,,,`,
      ),
    ).to.deep.equal([
      `1: in: ${reason}`,
      `2: fee: ${reason}`,
      `3: worth: ${reason}`,
      '4: 2021-05-01T10:00:00.000Z buy +1 BTC worth 100 eur fee 5 eur',
    ]);
  });
});

describe('a fee in an asset', () => {
  it('is booked where cash was traded for cash', () => {
    const spent = '2021-05-01T10:00:00.000Z fee -0.1 BNB';
    expect(
      readText(
        binanceHeader,
        `1,${second},Spot,Buy,EUR,100,`,
        `1,${second},Spot,Transaction Related,USD,-120,`,
        `1,${second},Spot,Fee,BNB,-0.1,`,
      ),
    ).to.deep.equal([`1+2+3: ${spent}`]);
    expect(
      readText(
        krakenHeader,
        `a,T,${second},trade,,ZEUR,100,0,1`,
        `b,T,${second},trade,,ZUSD,-120,0,1`,
        `c,T,${second},trade,,BNB,0,0.1,1`,
      ),
    ).to.deep.equal([`1+2+3: ${spent}`]);
    expect(
      readGeneric(
        `${second},trade,100,EUR,120,USD,0.1,BNB,,,`,
        `${second},buy,100,EUR,120,USD,0.1,BNB,,,`,
        `${second},in,100,EUR,,,0.1,BNB,,,`,
        `${second},trade,100,EUR,120,USD,1,USD,,,`,
      ),
    ).to.deep.equal([`1: ${spent}`, `2: ${spent}`, `3: ${spent}`, '4: skipped: cash is not tracked']);
  });
});

describe('a moment of Binance', () => {
  it('with a purchase and a sale of the same coin is refused on every row', () => {
    const reason = 'Change: "BTC" was both received and sent at that time; the rows cannot be paired';
    expect(
      readText(
        binanceHeader,
        `1,${second},Spot,Buy,BTC,1,`,
        `1,${second},Spot,Transaction Related,EUR,-100,`,
        `1,${second},Spot,Sell,BTC,-0.4,`,
        `1,${second},Spot,Transaction Related,EUR,50,`,
      ),
    ).to.deep.equal([1, 2, 3, 4].map((line) => `${line}: ${reason}`));
  });

  it('may have its fee in the coin that came', () => {
    expect(
      readText(
        binanceHeader,
        `1,${second},Spot,Buy,BTC,1,`,
        `1,${second},Spot,Fee,BTC,-0.001,`,
        `1,${second},Spot,Transaction Related,EUR,-100,`,
      ),
    ).to.deep.equal(['1+2+3: 2021-05-01T10:00:00.000Z buy +1 BTC worth 100 eur fee 0.001 BTC']);
  });

  it('is named by its user too', () => {
    const named = (user: string): string[] =>
      fingerprints(
        read(readerOf(binanceHeader), [`${user},${second},Spot,Staking Rewards,DOT,1,`.split(',')]),
      );
    expect(named('1')).to.deep.equal(named('1'));
    expect(named('1')).not.to.deep.equal(named('2'));
  });

  it('that comes to more than an amount can be is refused', () => {
    const most = '9'.repeat(20);
    expect(
      readText(
        binanceHeader,
        `1,${second},Spot,Buy,BTC,${most},`,
        `1,${second},Spot,Buy,BTC,${most},`,
        `1,${second},Spot,Transaction Related,EUR,-1,`,
      )[0],
    ).to.equal('1: Change: adds up with the rows of the same time to more than 20 digits before the point');
  });
});

describe('characters that cannot be kept', () => {
  const reason = 'has characters that are not text';
  for (const [name, bad] of [
    ['NUL', '\u0000'],
    ['half of a character', '\ud83d'],
    ['a control character', '\u001b'],
  ] as const) {
    it(`such as ${name} are a problem of their row in every format`, () => {
      expect(readText(coinbaseHeader, `i,${second} UTC,Buy,BTC,1,EUR,€1,€1,€1,€0,a${bad}`)).to.deep.equal([
        `1: Notes: ${reason}`,
      ]);
      expect(readText(binanceHeader, `1,${second},Spot,Deposit,B${bad},1,`)).to.deep.equal([
        `1: Coin: ${reason}`,
      ]);
      expect(readText(krakenHeader, `a,T,${second},deposit,,B${bad},1,0,1`)).to.deep.equal([
        `1: asset: ${reason}`,
      ]);
      expect(readGeneric(`${second},in,1,B${bad},,,,,,,`)).to.deep.equal([`1: in of: ${reason}`]);
      expect(shown(`a${bad}b`)).to.equal('"a\ufffdb"');
    });
  }

  it('are none of those of other scripts, nor tabs and line ends in a note', () => {
    const note = 'grüße 😀\tand\nmore';
    const [outcome] = read(genericReader(genericHeader, mapping), [
      [second, 'in', '1', 'BTC', '', '', '', '', '', '', note],
    ]);
    expect(outcome?.kind === 'transaction' && outcome.transaction.note).to.equal(note);
  });
});

describe('cells that are too long', () => {
  const long = 'B'.repeat(51);

  it('are a problem where a symbol should be', () => {
    const reason = 'is longer than 50 characters';
    expect(readText(coinbaseHeader, `i,${second} UTC,Buy,${long},1,EUR,€1,€1,€1,€0,`)).to.deep.equal([
      `1: Asset: ${reason}`,
    ]);
    expect(readText(binanceHeader, `1,${second},Spot,Deposit,${long},1,`)).to.deep.equal([
      `1: Coin: ${reason}`,
    ]);
    expect(readText(krakenHeader, `a,T,${second},deposit,,${long},1,0,1`)).to.deep.equal([
      `1: asset: ${reason}`,
    ]);
    expect(readGeneric(`${second},in,1,${long},,,,,,,`)).to.deep.equal([`1: in of: ${reason}`]);
  });

  it('are cut where a note should be, and no character in half', () => {
    const noteOf = (note: string): string | null | false => {
      const [outcome] = read(genericReader(genericHeader, mapping), [
        `${second},in,1,BTC,,,,,,,${note}`.split(','),
      ]);
      return outcome?.kind === 'transaction' && outcome.transaction.note;
    };
    expect(noteOf('n'.repeat(501))).to.equal('n'.repeat(500));
    expect(noteOf(`${'n'.repeat(499)}😀`)).to.equal('n'.repeat(499));
    expect(shown(`${'n'.repeat(39)}😀`)).to.equal(`"${'n'.repeat(39)}…"`);
  });
});
