/**
 * The share-matching examples that HM Revenue & Customs publishes, with its figures. HMRC rounds costs to whole pounds on the
 * way; the exact figure and its rounding are both asserted where they differ.
 */
import { expect } from 'chai';
import { formatAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import type { LotMatch } from '../../../src/features/portfolios/ledger/asset-book.ts';
import { createLedger, type Ledger } from '../../support/ledger.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { amount, booksOf, cash, gainOf, transaction } from './support/transactions.ts';

function consumptionsOf(ledger: Ledger, of: readonly Transaction[], asset = 'token'): LotMatch[] {
  const ids = new Set(of.map(({ id }) => id));
  return (ledger.snapshot(asset)?.lotMatches ?? []).filter((each) => ids.has(each.transaction));
}

function basisOf(ledger: Ledger, ...of: Transaction[]): string {
  return formatAmount(consumptionsOf(ledger, of).reduce((sum, { basis }) => sum + basis, 0n));
}

function gain(ledger: Ledger, ...of: Transaction[]): string {
  return formatAmount(gainOf(consumptionsOf(ledger, of)));
}

function poolOf(ledger: Ledger, asset = 'token'): string[] {
  return (ledger.snapshot(asset)?.lots ?? []).map(
    ({ quantity, basis }) => `${formatAmount(quantity)} for ${formatAmount(basis)}`,
  );
}

describe('uk_pool: the published examples of HMRC', () => {
  it('CRYPTO22251: a part disposal takes its share of the pool (Victoria, gain 258,000)', () => {
    const sale = transaction('sell', '2018-12-01', { quantity: 50, value: 300_000 });
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2016-03-01', { quantity: 100, value: 1_000 }),
      transaction('buy', '2017-09-01', { quantity: 50, value: 125_000 }),
      sale,
    );
    expect(basisOf(ledger, sale)).to.equal('42000');
    expect(gain(ledger, sale)).to.equal('258000');
    expect(poolOf(ledger)).to.deep.equal(['100 for 84000']);
  });

  it('CRYPTO22252: all disposals of a day are matched with all its acquisitions (Martyn, gain 462)', () => {
    const morning = transaction('sell', '2018-06-23T08:00', { quantity: 1_000, value: 800 });
    const evening = transaction('sell', '2018-06-23T20:00', { quantity: 500, value: 600 });
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2017-01-01', { quantity: 5_000, value: 500 }),
      morning,
      transaction('buy', '2018-06-23T14:00', { quantity: 1_600, value: 1_000 }),
      evening,
    );
    // HMRC: £1,000 × 1,500 / 1,600 = £938 (937.50), gain £462, pool of 5,100 for £562.
    expect(basisOf(ledger, morning, evening)).to.equal('937.5');
    expect(gain(ledger, morning, evening)).to.equal('462.5');
    expect(poolOf(ledger)).to.deep.equal(['5100 for 562.5']);
  });

  it('tells of what is matched with a day the moment of its first acquisition', () => {
    const first = transaction('buy', '2018-06-23T10:00', { quantity: 100, value: 100 });
    const sale = transaction('sell', '2018-06-23T20:00', { quantity: 150, value: 300 });
    const second = transaction('buy', '2018-06-23T14:00', { quantity: 100, value: 200 });
    const ledger = booksOf('uk_pool', first, second, sale);
    const reported = consumptionsOf(ledger, [sale]).map(({ rule, acquiredAt }) => [rule, acquiredAt]);
    expect(reported).to.deep.equal([['same_day', first.at]]);
  });

  it('CRYPTO22253: the 30 days after, earliest acquisition to earliest disposal, not day 31 (Rachel, 165 and 20)', () => {
    const march = transaction('sell', '2018-03-31', { quantity: 1_000, value: 400 });
    const april = transaction('sell', '2018-04-20', { quantity: 500, value: 150 });
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2017-01-01', { quantity: 2_000, value: 1_000 }),
      march,
      april,
      transaction('buy', '2018-04-21', { quantity: 700, value: 175 }),
      transaction('buy', '2018-04-28', { quantity: 500, value: 100 }),
      transaction('buy', '2018-05-01', { quantity: 500, value: 150 }),
    );
    expect(gain(ledger, march)).to.equal('165');
    expect(gain(ledger, april)).to.equal('20');
    // 200 tokens of 1 May, for £60, join the pool.
    expect(poolOf(ledger)).to.deep.equal(['2200 for 1060']);
    expect(consumptionsOf(ledger, [april]).map(({ rule, quantity }) => [rule, quantity])).to.deep.equal([
      ['thirty_days', amount(200)],
      ['thirty_days', amount(300)],
    ]);
  });

  it('CRYPTO22254: what exceeds the day comes from the pool (Daniel, gain 79)', () => {
    const sales = [
      transaction('sell', '2018-01-31T09:00', { quantity: 5_000, value: 500 }),
      transaction('sell', '2018-01-31T13:00', { quantity: 2_000, value: 142 }),
    ];
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2017-01-01', { quantity: 8_000, value: 1_000 }),
      transaction('buy', '2018-01-31T10:00', { quantity: 4_000, value: 320 }),
      transaction('buy', '2018-01-31T11:00', { quantity: 1_000, value: 75 }),
      transaction('buy', '2018-01-31T12:00', { quantity: 1_000, value: 70 }),
      transaction('buy', '2018-01-31T14:00', { quantity: 500, value: 35 }),
      ...sales,
    );
    // HMRC: 642 − 500 − £63 (62.50) = £79; pool of 7,500 for £937.
    expect(gain(ledger, ...sales)).to.equal('79.5');
    expect(poolOf(ledger)).to.deep.equal(['7500 for 937.5']);
  });

  it('CRYPTO22255: 30 days first, then the pool (Melanie, gain 92,500)', () => {
    const sale = transaction('sell', '2018-08-30', { quantity: 4_000, value: 160_000 });
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2017-01-01', { quantity: 14_000, value: 200_000 }),
      sale,
      transaction('buy', '2018-09-11', { quantity: 500, value: 17_500 }),
    );
    expect(basisOf(ledger, sale)).to.equal('67500');
    expect(gain(ledger, sale)).to.equal('92500');
    expect(poolOf(ledger)).to.deep.equal(['10500 for 150000']);
  });

  it('CRYPTO22256: all three rules (Gulferaz, 15,000, 10,000 and a loss of 163,637)', () => {
    const [july, august5, august7] = [
      transaction('sell', '2018-07-31T15:00', { quantity: 30_000, value: 150_000 }),
      transaction('sell', '2018-08-05', { quantity: 20_000, value: 100_000 }),
      transaction('sell', '2018-08-07', { quantity: 100_000, value: 150_000 }),
    ] as const;
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2017-01-01', { quantity: 100_000, value: 300_000 }),
      transaction('buy', '2018-07-31T10:00', { quantity: 10_000, value: 45_000 }),
      transaction('buy', '2018-08-06', { quantity: 50_000, value: 225_000 }),
      july,
      august5,
      august7,
    );
    expect(gain(ledger, july)).to.equal('15000');
    expect(gain(ledger, august5)).to.equal('10000');
    // £345,000 × 100,000 / 110,000 = 313,636.3636…, which HMRC rounds up.
    expect(gain(ledger, august7)).to.equal('-163636.363636363636363636');
    expect(poolOf(ledger)).to.deep.equal(['10000 for 31363.636363636363636364']);
  });

  it('CG51560, example 3: an acquisition on day 31 is not matched, one on day 30 would be', () => {
    const sale = transaction('sell', '2009-02-28', { quantity: 2_000, value: 6_000 });
    const books = (day: string): Ledger =>
      booksOf(
        'uk_pool',
        transaction('buy', '2008-06-02', { quantity: 10_000, value: 10_000 }),
        sale,
        transaction('buy', day, { quantity: 3_000, value: 18_000 }),
      );
    expect(basisOf(books('2009-03-31'), sale)).to.equal('2000');
    expect(basisOf(books('2009-03-30'), sale)).to.equal('12000');
  });

  it('HS284, example 3: dealing costs belong to cost and proceeds (Ms Pierson, gains 329 and 300)', () => {
    const [may, february] = [
      transaction('sell', '2017-05-01', { quantity: 700, value: 3_360, fee: cash(100) }),
      transaction('sell', '2018-02-01', { quantity: 400, value: 2_080, fee: cash(105) }),
    ] as const;
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2014-04-01', { quantity: 1_000, value: 4_000, fee: cash(150) }),
      transaction('buy', '2016-09-01', { quantity: 500, value: 2_050, fee: cash(80) }),
      may,
      february,
    );
    // £6,280 × 700 / 1,500 = £2,931 (2,930.67): 3,260 − 2,931 = £329. Left: 800 for £3,349 (3,349.33).
    expect(gain(ledger, may)).to.equal('329.333333333333333333');
    // £3,349 × 400 / 800 = £1,675 (1,674.67): 1,975 − 1,675 = £300.
    expect(basisOf(ledger, february)).to.equal('1674.666666666666666667');
    expect(gain(ledger, february)).to.equal('300.333333333333333333');
  });
});

describe('uk_pool: what the examples leave open', () => {
  it('says which consumptions a later acquisition may still change', () => {
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2020-01-01', { quantity: 10, value: 100 }),
      transaction('sell', '2020-02-01', { quantity: 4, value: 80 }),
    );
    expect(ledger.snapshot('token')?.provisional).to.equal(1);
    expect(ledger.snapshot('token')?.lotMatches[0]?.rule).to.equal('pool');

    ledger.apply({ add: [transaction('buy', '2020-03-02', { quantity: 1, value: 30 })] });
    expect(ledger.snapshot('token')?.lotMatches.map(({ rule }) => rule)).to.deep.equal([
      'thirty_days',
      'pool',
    ]);

    ledger.apply({ add: [transaction('buy', '2020-03-03', { quantity: 1, value: 30 })] });
    expect(ledger.snapshot('token')?.provisional).to.equal(0);
  });

  it('takes the days of the time zone', () => {
    const [buy, sale] = [
      transaction('buy', '2020-06-10T23:30', { quantity: 1, value: 50 }),
      transaction('sell', '2020-06-10T22:30', { quantity: 1, value: 80 }),
    ] as const;
    const first = transaction('buy', '2019-01-01', { quantity: 1, value: 10 });
    const ruleIn = (zone: string): string | undefined =>
      createLedger({ method: 'uk_pool', zone }, [first, buy, sale]).snapshot('token')?.lotMatches[0]?.rule;
    expect(ruleIn('UTC')).to.equal('same_day');
    // 23:30 and 00:30 in London.
    expect(ruleIn('Europe/London')).to.equal('thirty_days');
  });

  it('matches no transfers: they join the pool and leave it', () => {
    const ledger = booksOf(
      'uk_pool',
      transaction('buy', '2020-01-01', { quantity: 10, value: 100 }),
      transaction('sell', '2020-06-01', { quantity: 5, value: 100 }),
      transaction('transfer_in', '2020-06-02', { quantity: 5, value: 500 }),
      transaction('transfer_out', '2020-06-03', { quantity: 10 }),
    );
    const snapshot = ledger.snapshot('token');
    expect(snapshot?.lotMatches.map(({ kind, rule, basis }) => [kind, rule, basis])).to.deep.equal([
      ['disposal', 'pool', amount(50)],
      ['transfer', 'pool', amount(550)],
    ]);
    expect(snapshot?.lots).to.deep.equal([]);
  });
});
