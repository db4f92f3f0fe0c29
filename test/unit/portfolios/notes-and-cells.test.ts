/** Texts of reports and exports that somebody has made to do harm. */
import { expect } from 'chai';
import { reportUnder } from '../../../src/features/portfolios/importers/read-report.ts';
import { exportColumns, guardedText } from '../../../src/features/portfolios/importers/pricepool.ts';
import type { ImportedTransaction } from '../../../src/features/portfolios/importers/importer.ts';
import { buildTransaction } from '../../../src/features/portfolios/importers/build-transaction.ts';

function noteOf(note: string): string | null {
  const imported: ImportedTransaction = {
    type: 'buy',
    at: Date.UTC(2024, 0, 1),
    sequence: 1,
    received: { symbol: 'BTC', quantity: '1' },
    sent: null,
    value: { currency: 'usd', amount: '1' },
    fee: null,
    feeValue: null,
    note,
  };
  return buildTransaction(imported, 'x', {
    idOf: () => 'bitcoin',
    prices: { worth: () => null, converted: (amount) => amount },
    columns: {},
    importId: 'x',
    now: Date.UTC(2025, 0, 1),
  }).note;
}

describe('a note of a report', () => {
  it('is kept without what the API refuses in a note', () => {
    expect(noteOf('first\r\nsecond\tthird')).to.equal('first second third');
    expect(noteOf('a\u0007b\u202ec\u200bd\ud800e\u009ff')).to.equal('abcdef');
    expect([noteOf('\u202e\u0000 \n'), noteOf('')]).to.deep.equal([null, null]);
  });

  it('is never cut within a character', () => {
    expect(noteOf(`${'x'.repeat(499)}😀`)).to.equal('x'.repeat(499));
    expect(noteOf(`${'x'.repeat(498)}😀y`)).to.equal(`${'x'.repeat(498)}😀`);
  });
});

describe('a cell of an export', () => {
  const cells: Record<string, string> = {
    executed_at: '2024-01-31T09:30:00Z',
    type: 'transfer_in',
    received_asset: 'bitcoin',
    received_quantity: '1',
  };
  for (const sign of ['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    it(`that begins with ${sign} is no formula, and comes back as it was`, () => {
      for (const note of [`${sign}SUM(A1)`, `'${sign}1`]) {
        expect(guardedText(note)).to.equal(`'${note}`);
        const row = exportColumns.map((column) =>
          column === 'note' ? guardedText(note) : (cells[column] ?? ''),
        );
        const [outcome] = reportUnder(exportColumns)?.reader.read(row, 2) ?? [];
        expect(outcome).to.have.nested.property('transaction.note', note);
      }
    });
});
