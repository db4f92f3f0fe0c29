import { expect } from 'chai';
import fc from 'fast-check';
import {
  formatAmount,
  mulDiv,
  multiply,
  parseAmount,
  toNumber,
} from '../../../src/features/portfolios/ledger/amount.ts';
import {
  checkTransaction,
  withMarketValues,
  type TransactionDraft,
} from '../../../src/features/portfolios/ledger/check-transaction.ts';
import { compareTransactions } from '../../../src/features/portfolios/ledger/transaction.ts';
import { ValidationError } from '../../../src/domain/errors.ts';
import { amount, transaction } from './support/transactions.ts';

const now = Date.UTC(2024, 5, 1);
const buy: TransactionDraft = {
  id: 'x',
  type: 'buy',
  executedAt: '2024-01-31T09:30:00Z',
  received: { asset: 'bitcoin', quantity: '0.5' },
  value: '20000',
};

/** Fields that are refused. */
function refused(draft: TransactionDraft): string[] {
  try {
    checkTransaction(draft, now);
    return [];
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    return (error.fields ?? []).map(({ field }) => field);
  }
}

describe('amounts', () => {
  it('are written as they were read, without superfluous zeros', () => {
    for (const [text, canonical] of [
      ['0', '0'],
      ['-0', '0'],
      ['007.50', '7.5'],
      ['-0.000000000000000001', '-0.000000000000000001'],
      [`${'9'.repeat(20)}.${'9'.repeat(18)}`, `${'9'.repeat(20)}.${'9'.repeat(18)}`],
    ] as const) {
      expect(formatAmount(amount(text))).to.equal(canonical);
    }
  });

  it('are refused, not rounded, where they do not fit', () => {
    const wrong = [
      '',
      ' 1',
      '1 ',
      '+1',
      '1.',
      '.1',
      '1e3',
      '1,0',
      'NaN',
      '1'.repeat(21),
      `0.${'0'.repeat(18)}1`,
      '0x1',
    ];
    expect(wrong.filter((text) => parseAmount(text) !== undefined)).to.deep.equal([]);
  });

  it('are divided with one rounding, halves away from zero', () => {
    expect(mulDiv(1n, 1n, 2n)).to.equal(1n);
    expect(mulDiv(-1n, 1n, 2n)).to.equal(-1n);
    expect(mulDiv(-1n, 1n, 3n)).to.equal(0n);
    expect(mulDiv(2n, 1n, 3n)).to.equal(1n);
    expect(multiply(amount('0.1'), amount('0.2'))).to.equal(amount('0.02'));
    fc.assert(
      fc.property(fc.bigInt(), fc.bigInt(), fc.bigInt({ min: 1n, max: 10n ** 40n }), (a, b, c) => {
        const off = 2n * (a * b - mulDiv(a, b, c) * c);
        expect(off <= c && -off <= c).to.equal(true);
      }),
    );
  });

  it('become the nearest double for statistics', () => expect(toNumber(amount('0.1'))).to.equal(0.1));
});

describe('the rules of a transaction', () => {
  it('let a right one pass', () => {
    expect(checkTransaction(buy, now)).to.deep.include({
      at: Date.UTC(2024, 0, 31, 9, 30),
      received: { asset: 'bitcoin', quantity: amount('0.5') },
      sent: null,
      value: amount(20_000),
      fee: null,
      sequence: 0,
    });
  });

  for (const [what, change, fields] of [
    ['a type that there is not', { type: 'gift' }, ['type']],
    ['a quantity of 0', { received: { asset: 'bitcoin', quantity: '0.0' } }, ['received.quantity']],
    ['a negative quantity', { received: { asset: 'bitcoin', quantity: '-1' } }, ['received.quantity']],
    ['40 digits', { received: { asset: 'bitcoin', quantity: '1'.repeat(40) } }, ['received.quantity']],
    ['an exponent', { received: { asset: 'bitcoin', quantity: '1e400' } }, ['received.quantity']],
    ['a negative value', { value: '-1' }, ['value']],
    ['a purchase without value', { value: null }, ['value']],
    ['a purchase of nothing', { received: null }, ['received']],
    ['a purchase that gives', { sent: { asset: 'ethereum', quantity: '1' } }, ['sent']],
    ['a currency as an asset', { received: { asset: 'EUR', quantity: '1' } }, ['received.asset']],
    ['an asset that is no id', { received: { asset: 'bit,coin', quantity: '1' } }, ['received.asset']],
    ['a future date', { executedAt: '2024-06-01T00:00:01Z' }, ['executed_at']],
    ['a date before the first block', { executedAt: '2009-01-02T23:59:59Z' }, ['executed_at']],
    ['a day that there is not', { executedAt: '2023-02-29T00:00:00Z' }, ['executed_at']],
    ['the 24th hour', { executedAt: '2023-02-28T24:00:00Z' }, ['executed_at']],
    ['a time without offset', { executedAt: '2023-02-28T00:00:00' }, ['executed_at']],
    ['a fee in cash without value', { fee: {} }, ['fee.value']],
    ['a fee in cash with a quantity', { fee: { quantity: '1', value: '1' } }, ['fee.quantity']],
    ['a fee of no quantity', { fee: { asset: 'bitcoin', value: '1' } }, ['fee.quantity']],
    [
      'a fee with a fee',
      { type: 'fee', received: null, sent: { asset: 'bitcoin', quantity: '1' }, fee: { value: '1' } },
      ['fee'],
    ],
    ['a swap for itself', { type: 'swap', sent: { asset: 'bitcoin', quantity: '1' } }, ['received.asset']],
    ['a broken sequence', { sequence: -1 }, ['sequence']],
    [
      'several at once',
      { type: 'gift', executedAt: 'soon', value: 'much' },
      ['type', 'executed_at', 'value'],
    ],
  ] as const satisfies readonly (readonly [string, Partial<TransactionDraft>, readonly string[]])[]) {
    it(`refuse ${what}`, () => expect(refused({ ...buy, ...change })).to.deep.equal(fields));
  }

  it('take a fee of nothing in cash for none', () => {
    expect(checkTransaction({ ...buy, fee: { value: '0' } }, now).fee).to.equal(null);
    expect(checkTransaction({ ...buy, fee: { value: '0.01' } }, now).fee?.value).to.equal(amount(0.01));
  });

  it('take the market value where none is stated, and name the field where none is known', () => {
    const swap = checkTransaction(
      {
        ...buy,
        type: 'swap',
        value: null,
        sent: { asset: 'ethereum', quantity: '8' },
        fee: { asset: 'binancecoin', quantity: '0.01' },
      },
      now,
    );
    const market = withMarketValues(swap, ({ asset, quantity }) =>
      asset === 'bitcoin' ? multiply(quantity, amount(40_000)) : amount(3),
    );
    expect([market.value, market.fee?.value]).to.deep.equal([amount(20_000), amount(3)]);
    try {
      withMarketValues(swap, () => null);
      expect.fail('it was taken');
    } catch (error) {
      expect((error as ValidationError).fields?.map(({ field }) => field)).to.deep.equal([
        'value',
        'fee.value',
      ]);
    }
  });
});

describe('the order of transactions', () => {
  it('goes by time, then in before out, then sequence, then id', () => {
    const at = '2024-01-01';
    const ordered = [
      transaction('transfer_out', '2023-12-31', { id: 'z', quantity: 1 }),
      transaction('transfer_in', at, { id: 'z', quantity: 1 }),
      transaction('buy', at, { id: 'B', quantity: 1 }),
      transaction('buy', at, { id: 'a', quantity: 1 }),
      transaction('buy', at, { id: '0', quantity: 1, sequence: 1 }),
      transaction('reward', at, { id: '0', quantity: 1 }),
      transaction('sell', at, { id: '0', quantity: 1 }),
      transaction('fee', at, { id: '0', quantity: 1 }),
      transaction('transfer_out', at, { id: '0', quantity: 1 }),
    ];
    expect(ordered.toReversed().sort(compareTransactions)).to.deep.equal(ordered);
  });
});
