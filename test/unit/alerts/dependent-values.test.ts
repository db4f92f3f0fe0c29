/** Values that need more than one quote: when they are computed, of what, and why not. */
import { expect } from 'chai';
import type { AlertSubject } from '../../../src/features/alerts/alert.ts';
import type { AlertQuote } from '../../../src/features/alerts/crossing.ts';
import { DependentValues, type ValueResult } from '../../../src/features/alerts/dependent-values.ts';
import type {
  AlertValueQueries,
  HeldInPortfolio,
} from '../../../src/features/alerts/queries/alert-values.ts';
import { Subject } from '../../../src/features/alerts/subject.ts';
import { sampleAlert } from './sample-alert.ts';

const start = 1_800_000_000_000;

describe('values of alerts', () => {
  let now: number;
  let quotes: Map<string, AlertQuote>;
  let held: Map<string, HeldInPortfolio>;
  let reference: { price: number; at: number } | undefined;
  /** What Postgres was asked for. */
  let reads: unknown[];
  let isAway: boolean;
  let watched: string[];
  let loads: number;
  let valued: [string, ValueResult][];
  let values: DependentValues;

  beforeEach(() => {
    [now, reads, isAway, watched, loads, valued] = [start, [], false, [], 0, []];
    [quotes, held, reference] = [new Map(), new Map(), undefined];
    const read = <T>(what: unknown, result: T): Promise<T> => {
      reads.push(what);
      return isAway ? Promise.reject(new Error('Postgres is away')) : Promise.resolve(result);
    };
    const queries: AlertValueQueries = {
      references: (wanted) =>
        read(
          wanted,
          wanted.map(() => reference),
        ),
      holdings: (ids, limit) => read({ ids, limit }, held),
    };
    values = new DependentValues({
      values: queries,
      quoteOf: (currency, assetId) => quotes.get(`${currency}:${assetId}`),
      onHoldings: (_subject, assetIds) => watched.push(...assetIds),
      loadQuotes: () => {
        loads++;
        return Promise.resolve();
      },
      onValued: (subject, value) => valued.push([subject.key, value]),
    });
  });

  function subjectOf(different: Partial<AlertSubject>): Subject {
    const alert = sampleAlert({ kind: 'portfolio_value', assetId: null, ...different });
    const subject = new Subject(alert);
    subject.put(alert);
    return subject;
  }
  const portfolio = (portfolioId = 'p'): Subject => subjectOf({ portfolioId });
  const quote = (price: number, different: Partial<AlertQuote> = {}): AlertQuote => ({
    price,
    asOf: null,
    receivedAt: start - 5_000,
    source: 'simulated',
    state: 'fresh',
    ...different,
  });
  const hold = (
    holdings: Readonly<Record<string, string>>,
    different: Partial<HeldInPortfolio> = {},
  ): void => {
    const rows = Object.entries(holdings).map(([assetId, quantity]) => ({ assetId, quantity }));
    held.set('p', { baseCurrency: 'usd', isBooked: true, holdings: rows, ...different });
  };
  const last = (): ValueResult => valued.at(-1)![1];

  describe('of a portfolio', () => {
    it('are the sum of what is held, with the oldest observation, the newest receipt and all sources', async () => {
      hold({ bitcoin: '2', solana: '10' });
      quotes.set(
        'usd:bitcoin',
        quote(400, { asOf: '2026-01-01T00:00:09Z', source: 'b', receivedAt: start - 9 }),
      );
      quotes.set('usd:solana', quote(20, { asOf: '2026-01-01T00:00:01Z', source: 'a', state: 'stale' }));
      values.markDirty(portfolio());
      await values.poll(now);
      expect(watched).to.deep.equal(['bitcoin', 'solana']);
      expect(loads).to.equal(1);
      expect(last())
        .to.have.property('observation')
        .that.deep.includes({
          text: '1000',
          at: start - 9,
          isFresh: false,
          quote: { asOf: '2026-01-01T00:00:01Z', receivedAt: start - 9, source: 'a,b', state: 'stale' },
        });
    });

    it('of nothing are 0 at the present time', async () => {
      hold({});
      values.markDirty(portfolio());
      await values.poll(now);
      expect(last())
        .to.have.property('observation')
        .that.deep.includes({ text: '0', at: now, isFresh: true });
    });

    it('are not told where they would be wrong, with the reason', async () => {
      const bought = { bitcoin: '2' };
      const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`coin-${n}`, '1']));
      const reasons: unknown[] = [];
      for (const state of [
        () => held.clear(),
        () => hold(bought, { baseCurrency: 'eur' }),
        () => hold(bought, { isBooked: false }),
        () => hold(many),
        () => hold(bought),
      ]) {
        state();
        const subject = portfolio();
        values.markDirty(subject);
        await values.poll(now);
        reasons.push('reason' in last() && last());
        values.forget(subject);
      }
      expect(reasons).to.deep.equal(
        ['books_behind', 'currency_changed', 'books_behind', 'too_large', 'incomplete'].map((reason) => ({
          reason,
        })),
      );
      expect(watched, 'no more than can be watched').to.not.include('coin-0');
    });

    it('are computed every two seconds at most', async () => {
      hold({});
      const subject = portfolio();
      for (const afterMs of [0, 1_999, 1]) {
        now += afterMs;
        values.markDirty(subject);
        await values.poll(now);
      }
      expect(valued).to.have.length(2);
    });

    it('are looked at again while the books are behind, and else only when something changes', async () => {
      hold({}, { isBooked: false });
      values.markDirty(portfolio());
      for (let n = 0; n < 3; n++, now += 2_000) await values.poll(now);
      expect([valued.length, reads.length]).to.deep.equal([3, 3]);
      hold({});
      for (let n = 0; n < 3; n++, now += 2_000) await values.poll(now);
      expect([valued.length, reads.length]).to.deep.equal([4, 4]);
    });

    it('are computed of what was read a moment ago, until the books change or ten seconds are over', async () => {
      hold({});
      const subject = portfolio();
      const poll = async (afterMs: number): Promise<number> => {
        now += afterMs;
        values.markDirty(subject);
        await values.poll(now);
        return reads.length;
      };
      expect([await poll(0), await poll(2_000), await poll(7_999)]).to.deep.equal([1, 1, 1]);
      expect(await poll(2_000)).to.equal(2);
      values.onBooked('p');
      now += 2_000;
      await values.poll(now);
      expect(reads).to.have.length(3);
      expect(reads[0]).to.deep.equal({ ids: ['p'], limit: 1_000 });
    });

    it('are computed again once a minute, should nobody have told of a change', async () => {
      hold({});
      values.markDirty(portfolio());
      for (const afterMs of [0, 59_000, 1_000]) {
        now += afterMs;
        await values.poll(now);
      }
      expect(valued).to.have.length(2);
    });

    it('are computed when Postgres is back', async () => {
      hold({});
      isAway = true;
      values.markDirty(portfolio());
      const failed = await values.poll(now).catch((error: unknown) => String(error));
      expect(failed).to.equal('Error: Postgres is away');
      isAway = false;
      await values.poll(now);
      expect(valued).to.have.length(1);
    });

    it('are forgotten with the last who watches', async () => {
      hold({});
      const subject = portfolio();
      values.markDirty(subject);
      values.forget(subject);
      await values.poll(now);
      values.onBooked('p');
      await values.poll(now + 70_000);
      expect([reads, valued]).to.deep.equal([[], []]);
    });

    it('are told to nobody when the last who watched has gone while they were computed', async () => {
      hold({});
      const subject = portfolio();
      values.markDirty(subject);
      const polling = values.poll(now);
      subject.remove(sampleAlert().id);
      await polling;
      expect([valued, watched]).to.deep.equal([[], []]);
    });
  });

  describe('of a change', () => {
    const change = (windowSeconds = 3_600): Subject =>
      subjectOf({ kind: 'change', assetId: 'bitcoin', portfolioId: null, windowSeconds });

    it('are measured from the start of the window, with some tolerance', async () => {
      for (const windowSeconds of [3_600, 604_800]) {
        values.markDirty(change(windowSeconds));
        await values.poll(now);
      }
      const [hour, week] = reads as { at: number; from: number }[][];
      const of = { assetId: 'bitcoin', currency: 'usd' };
      expect(hour).to.deep.equal([{ ...of, at: now - 3_600_000, from: now - 3_600_000 - 900_000 }]);
      expect(week).to.deep.equal([{ ...of, at: now - 604_800_000, from: now - 665_280_000 }]);
    });

    it('tell the price that they are measured from', async () => {
      reference = { price: 200, at: start - 3_600_000 };
      quotes.set('usd:bitcoin', quote(190));
      values.markDirty(change());
      await values.poll(now);
      expect(last())
        .to.have.property('observation')
        .that.deep.includes({
          text: '-5',
          at: start - 5_000,
          isFresh: true,
          reference: { price: '200', at: new Date(start - 3_600_000).toISOString() },
        });
    });

    it('are not told without a quote, a reference, or a reference above zero', async () => {
      const reasons: unknown[] = [];
      for (const state of [
        () => undefined,
        () => quotes.set('usd:bitcoin', quote(190)),
        () => (reference = { price: 0, at: start }),
      ]) {
        state();
        const subject = change();
        values.markDirty(subject);
        await values.poll(now);
        reasons.push(last());
        values.forget(subject);
      }
      expect(reasons).to.deep.equal(
        ['no_quote', 'no_reference', 'no_reference'].map((reason) => ({ reason })),
      );
    });

    it('read what they are measured from once a minute, and as soon as somebody watches again', async () => {
      reference = { price: 200, at: start };
      quotes.set('usd:bitcoin', quote(190));
      const subject = change();
      const poll = async (afterMs: number): Promise<number> => {
        now += afterMs;
        values.markDirty(subject);
        await values.poll(now);
        return reads.length;
      };
      expect([await poll(0), await poll(59_999), await poll(1)]).to.deep.equal([1, 1, 2]);
      values.forget(subject);
      expect(await poll(1)).to.equal(3);
    });

    it('stay marked while Postgres is away', async () => {
      isAway = true;
      values.markDirty(change());
      await values.poll(now).catch(() => undefined);
      isAway = false;
      await values.poll(now);
      expect(valued).to.have.length(1);
    });
  });
});
