import { costBasisMethods, type CostBasisMethod } from '../../../src/domain/bookkeeping.ts';
import { expect } from 'chai';
import { formatAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import type { Ledger } from '../../support/ledger.ts';
import { OverdrawnError } from '../../../src/features/portfolios/ledger/overdrawn-error.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { amount, booksOf, cash, gainOf, transaction } from './support/transactions.ts';

/** Each consumption as `lot: quantity, proceeds - basis`. */
function taken(ledger: Ledger, asset = 'token'): string[] {
  return (ledger.snapshot(asset)?.lotMatches ?? []).map(
    ({ lot, quantity, proceeds, basis }) =>
      `${lot ?? 'pool'}: ${formatAmount(quantity)}, ${formatAmount(proceeds)} - ${formatAmount(basis)}`,
  );
}

function lotsOf(ledger: Ledger, asset = 'token'): string[] {
  return (ledger.snapshot(asset)?.lots ?? []).map(
    ({ transaction: id, quantity, basis }) =>
      `${id ?? 'pool'}: ${formatAmount(quantity)} for ${formatAmount(basis)}`,
  );
}

/** Worked by hand: 10 for 100 (10 each), 10 for 300 (30 each), 10 for 200 (20 each); 15 sold for 600 (40 each). */
const threeBuysOneSale: readonly Transaction[] = [
  transaction('buy', '2021-01-01', { id: 'a', quantity: 10, value: 100 }),
  transaction('buy', '2021-02-01', { id: 'b', quantity: 10, value: 300 }),
  transaction('buy', '2021-03-01', { id: 'c', quantity: 10, value: 200 }),
  transaction('sell', '2021-06-01', { id: 's', quantity: 15, value: 600 }),
];

const byHand: Record<
  Exclude<CostBasisMethod, 'uk_pool'>,
  { taken: string[]; lots: string[]; gain: string }
> = {
  fifo: {
    taken: ['a: 10, 400 - 100', 'b: 5, 200 - 150'],
    lots: ['b: 5 for 150', 'c: 10 for 200'],
    gain: '350',
  },
  lifo: {
    taken: ['c: 10, 400 - 200', 'b: 5, 200 - 150'],
    lots: ['a: 10 for 100', 'b: 5 for 150'],
    gain: '250',
  },
  hifo: {
    taken: ['b: 10, 400 - 300', 'c: 5, 200 - 100'],
    lots: ['a: 10 for 100', 'c: 5 for 100'],
    gain: '200',
  },
  average: { taken: ['pool: 15, 600 - 300'], lots: ['pool: 15 for 300'], gain: '300' },
};

describe('lots', () => {
  for (const method of ['fifo', 'lifo', 'hifo', 'average'] as const) {
    it(`are consumed by ${method} as worked out by hand`, () => {
      const ledger = booksOf(method, ...threeBuysOneSale);
      expect(taken(ledger)).to.deep.equal(byHand[method].taken);
      expect(lotsOf(ledger)).to.deep.equal(byHand[method].lots);
      expect(formatAmount(gainOf(ledger.snapshot('token')!.lotMatches))).to.equal(byHand[method].gain);
    });
  }

  it('of equal unit cost are consumed oldest first by hifo', () => {
    const ledger = booksOf(
      'hifo',
      transaction('buy', '2021-01-01', { id: 'a', quantity: 3, value: 3 }),
      transaction('buy', '2021-01-02', { id: 'b', quantity: 1, value: 1 }),
      transaction('sell', '2021-01-03', { quantity: 2, value: 10 }),
    );
    expect(lotsOf(ledger)).to.deep.equal(['a: 1 for 1', 'b: 1 for 1']);
  });

  for (const method of ['fifo', 'lifo', 'hifo'] as const) {
    it(`are consumed by ${method} in its order however many there are, bought between sales too`, () => {
      // Each price once, in no order.
      const prices = Array.from({ length: 61 }, (_, n) => ((n * 23) % 61) + 1);
      const begin = Date.parse('2021-01-01T00:00:00Z');
      const when = (minute: number): string => new Date(begin + minute * 60_000).toISOString().slice(0, 16);
      const history: Transaction[] = [];
      const open: number[] = [];
      const expected: string[] = [];
      const next = (): number => {
        if (method === 'fifo') return open.shift()!;
        if (method === 'lifo') return open.pop()!;
        return open.splice(open.indexOf(Math.max(...open)), 1)[0]!;
      };
      const sell = (): void => {
        const at = when(history.length);
        history.push(transaction('sell', at, { quantity: 1, value: 100 }));
        expected.push(String(next()));
      };
      for (const [index, price] of prices.entries()) {
        history.push(transaction('buy', when(history.length), { quantity: 1, value: price }));
        open.push(price);
        if (index % 5 === 4) sell();
      }
      while (open.length > 0) sell();
      const { lotMatches } = booksOf(method, ...history).snapshot('token')!;
      expect(lotMatches.map(({ basis }) => formatAmount(basis))).to.deep.equal(expected);
    });
  }

  it('give the last disposal what the roundings left', () => {
    for (const method of ['fifo', 'average', 'uk_pool'] as const) {
      const thirds = [1, 2, 3].map((day) =>
        transaction('sell', `2021-06-0${day}`, { quantity: 1, value: '0.000000000000000001' }),
      );
      const ledger = booksOf(
        method,
        transaction('buy', '2021-01-01', { quantity: 3, value: 100 }),
        ...thirds,
      );
      expect(ledger.snapshot('token')!.lotMatches.map(({ basis }) => formatAmount(basis))).to.deep.equal([
        '33.333333333333333333',
        '33.333333333333333334',
        '33.333333333333333333',
      ]);
      expect(ledger.snapshot('token')!.tally.consumed).to.equal(amount(100));
    }
  });

  it('hold 20 digits before and 18 after the point', () => {
    const most = `${'9'.repeat(20)}.${'9'.repeat(18)}`;
    const ledger = booksOf(
      'fifo',
      transaction('buy', '2021-01-01', { id: 'a', quantity: most, value: most }),
    );
    expect(lotsOf(ledger)).to.deep.equal([`a: ${most} for ${most}`]);
  });
});

describe('fees', () => {
  it('in cash add to the basis of a purchase and lessen the proceeds of a sale', () => {
    const ledger = booksOf(
      'fifo',
      transaction('buy', '2021-01-01', { id: 'a', quantity: 1, value: 100, fee: cash(5) }),
      transaction('sell', '2021-01-02', { quantity: 1, value: 150, fee: cash(7) }),
    );
    expect(taken(ledger)).to.deep.equal(['a: 1, 143 - 105']);
  });

  it('in a third asset are besides a disposal of it at market value', () => {
    const ledger = booksOf(
      'fifo',
      transaction('buy', '2021-01-01', { id: 'f', asset: 'fuel', quantity: 10, value: 20 }),
      transaction('buy', '2021-01-02', {
        id: 'a',
        quantity: 1,
        value: 100,
        fee: { asset: 'fuel', quantity: amount(2), value: amount(6) },
      }),
    );
    expect(lotsOf(ledger)).to.deep.equal(['a: 1 for 106']);
    expect(taken(ledger, 'fuel')).to.deep.equal(['f: 2, 6 - 4']);
    expect(ledger.snapshot('fuel')!.lotMatches[0]!.isFee).to.equal(true);
  });

  it('in the asset that is bought take from what came in', () => {
    const fee = { asset: 'token', quantity: amount('0.1'), value: amount(10) };
    const ledger = booksOf(
      'fifo',
      transaction('buy', '2021-01-01', { id: 'a', quantity: 1, value: 100, fee }),
    );
    expect(lotsOf(ledger)).to.deep.equal(['a: 0.9 for 99']);
    expect(taken(ledger)).to.deep.equal(['a: 0.1, 10 - 11']);
  });
});

describe('the ledger', () => {
  const swap: Transaction = {
    ...transaction('buy', '2021-02-01', { id: 'x', asset: 'other', quantity: 4, value: 120, fee: cash(1) }),
    type: 'swap',
    sent: { asset: 'token', quantity: amount(2) },
  };

  it('takes a swap for a disposal and an acquisition at the same value', () => {
    const ledger = booksOf(
      'fifo',
      transaction('buy', '2021-01-01', { id: 'a', quantity: 3, value: 90 }),
      swap,
    );
    expect(taken(ledger)).to.deep.equal(['a: 2, 120 - 60']);
    expect(lotsOf(ledger, 'other')).to.deep.equal(['x: 4 for 121']);
  });

  it('takes a transfer out for no disposal: its basis leaves', () => {
    const ledger = booksOf(
      'fifo',
      transaction('reward', '2021-01-01', { id: 'a', quantity: 2, value: 50 }),
      transaction('transfer_out', '2021-01-02', { quantity: 1, value: 999 }),
    );
    const { tally, lotMatches } = ledger.snapshot('token')!;
    expect(lotMatches.map(({ kind, basis }) => [kind, basis])).to.deep.equal([['transfer', amount(25)]]);
    expect(tally).to.deep.equal({ acquired: amount(50), consumed: 0n, left: amount(25), proceeds: 0n });
  });

  for (const method of costBasisMethods) {
    it(`takes a transfer out by ${method} for no disposal either: nothing is realised`, () => {
      const ledger = booksOf(
        method,
        transaction('buy', '2021-01-01', { id: 'a', quantity: 2, value: 50 }),
        transaction('transfer_out', '2021-01-02', { id: 'out', quantity: 1, value: 999 }),
        transaction('sell', '2021-06-01', { id: 's', quantity: 1, value: 60 }),
      );
      const { tally, lotMatches } = ledger.snapshot('token')!;
      expect(lotMatches.map(({ transaction: id, kind, proceeds }) => [id, kind, proceeds])).to.deep.equal([
        ['out', 'transfer', 0n],
        ['s', 'disposal', amount(60)],
      ]);
      const each = { consumed: amount(25), left: amount(25), proceeds: amount(60) };
      expect(tally).to.deep.equal({ acquired: amount(50), ...each });
    });
  }

  for (const method of costBasisMethods) {
    it(`refuses by ${method} what would make a holding negative, and changes nothing`, () => {
      const ledger = booksOf(method, ...threeBuysOneSale);
      const before = [ledger.snapshot('token'), ledger.checkpoints('token')];
      // On 2 March all 30 are there; the sale of 15 in June is what no longer works.
      const early = transaction('sell', '2021-03-02', {
        id: 'early',
        asset: 'token',
        quantity: 16,
        value: 1,
      });
      const attempt = (): unknown => ledger.apply({ add: [{ ...swap, sent: null, type: 'buy' }, early] });
      expect(attempt).to.throw(OverdrawnError, 'Transaction s takes 15 token, but only 14 are held');
      expect([ledger.snapshot('token'), ledger.checkpoints('token')]).to.deep.equal(before);
      expect(ledger.assets()).to.deep.equal(['token']);
    });
  }

  it('refuses all of an appended transaction when one of its assets is not covered', () => {
    const ledger = booksOf('fifo', transaction('buy', '2021-01-01', { quantity: 1, value: 90 }));
    const fresh = transaction('buy', '2021-01-02', { asset: 'other', quantity: 1, value: 1 });
    expect(() => ledger.apply({ add: [fresh, swap] })).to.throw(OverdrawnError, 'takes 2 token');
    expect([ledger.assets(), ledger.holding('token')]).to.deep.equal([['token'], amount(1)]);
    ledger.apply({ add: [fresh] });
    const fee = { asset: 'token', quantity: amount(2), value: amount(1) };
    const another = transaction('buy', '2021-01-03', { asset: 'other', quantity: 1, value: 1, fee });
    expect(() => ledger.apply({ add: [another] })).to.throw(OverdrawnError);
    expect([ledger.holding('other'), ledger.holding('token')]).to.deep.equal([amount(1), amount(1)]);
  });

  for (const method of costBasisMethods) {
    it(`refuses by ${method} appended sales that together take more than is held, and changes nothing`, () => {
      const ledger = booksOf(method, transaction('buy', '2021-01-01', { id: 'a', quantity: 3, value: 90 }));
      const before = [ledger.snapshot('token'), ledger.checkpoints('token')];
      const sales = ['2021-02-01', '2021-02-02'].map((day) =>
        transaction('sell', day, { id: day, quantity: 2, value: 1 }),
      );
      const attempt = (): unknown => ledger.apply({ add: sales });
      expect(attempt).to.throw(OverdrawnError, 'Transaction 2021-02-02 takes 2 token, but only 1 are held');
      expect([ledger.snapshot('token'), ledger.checkpoints('token')]).to.deep.equal(before);
      ledger.apply({ add: [transaction('buy', '2021-02-01', { id: 'b', quantity: 1, value: 9 }), ...sales] });
      expect(ledger.holding('token')).to.equal(0n);
    });
  }

  it('names transaction, asset, holding and field of a refusal', () => {
    const late = transaction('sell', '2022-01-01', {
      id: 'late',
      quantity: '15.000000000000000001',
      value: 1,
    });
    try {
      booksOf('average', ...threeBuysOneSale, late);
      expect.fail('it was not refused');
    } catch (error) {
      expect(error).to.be.instanceOf(OverdrawnError);
      expect(error).to.include({
        transaction: 'late',
        asset: 'token',
        holding: amount(15),
        wanted: late.sent!.quantity,
      });
      expect((error as OverdrawnError).fields).to.deep.equal([
        { field: 'sent.quantity', message: 'must not be more than the holding of 15' },
      ]);
    }
  });

  it('refuses a removal after which a later sale lacks cover', () => {
    const ledger = booksOf('fifo', ...threeBuysOneSale);
    expect(() => ledger.apply({ remove: ['a', 'b'] })).to.throw(OverdrawnError, 'only 10 are held');
    ledger.apply({ remove: ['a'] });
    expect(ledger.holding('token')).to.equal(amount(5));
  });

  it('replaces a transaction in one change', () => {
    const ledger = booksOf('fifo', ...threeBuysOneSale);
    const dearer = transaction('buy', '2021-01-01', { id: 'a', quantity: 10, value: 500 });
    ledger.apply({ remove: ['a'], add: [dearer] });
    expect(taken(ledger)[0]).to.equal('a: 10, 400 - 500');
  });

  it('books what comes in before what goes out at the same moment, whatever the ids are', () => {
    const moment = '2021-01-01T00:00';
    const sale = transaction('sell', moment, { id: '1', quantity: 1, value: 2 });
    const buy = transaction('buy', moment, { id: '2', quantity: 1, value: 1 });
    expect(booksOf('fifo', sale, buy).holding('token')).to.equal(0n);
  });
});
