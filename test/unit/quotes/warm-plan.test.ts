import { expect } from 'chai';
import { planWarming, type KnownPage, type WarmCall } from '../../../src/features/quotes/demand/warm-plan.ts';
import { pageItem, type HotItem } from '../../../src/features/quotes/demand/interest.ts';

const now = 1_000_000;
const dueAfterMs = 45_000;

interface Situation {
  /** Ages in seconds, in the order of heat; `none` for no quote, `fails` for one that cannot be had. */
  readonly ages: Readonly<Record<string, number | 'none' | 'fails'>>;
  readonly pages?: readonly { page: number; age: number; assetIds: readonly string[] }[];
  readonly maxCalls?: number;
  readonly maxBytes?: number;
}

function plan({ ages, pages = [], maxCalls = 10, maxBytes = 6_000 }: Situation): readonly WarmCall[] {
  const entries = Object.entries(ages);
  const hot: HotItem[] = entries.map(([id], index) => ({ id, heat: entries.length - index }));
  const at = (age: number): number => now - age * 1_000;
  const known: KnownPage[] = pages.map(({ age, ...page }) => ({ ...page, receivedAt: at(age) }));
  return planWarming({
    currency: 'usd',
    hot,
    pages: known,
    receivedAt(id) {
      const age = ages[id]!;
      if (age === 'fails') return undefined;
      return age === 'none' ? 0 : at(age);
    },
    now,
    dueAfterMs,
    maxCalls,
    maxIds: 250,
    maxBytes,
  });
}

const aged = (count: number, age: number, prefix = 'coin'): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}-${index}`, age]));

describe('a plan of warming', () => {
  it('is empty while nothing is due', () => {
    expect(plan({ ages: aged(500, 44) })).to.deep.equal([]);
    expect(plan({ ages: {} })).to.deep.equal([]);
  });

  it('takes what is due, the hottest first, in as few calls as there can be', () => {
    const calls = plan({ ages: aged(600, 46) });
    expect(calls.map(({ assetIds }) => assetIds.length)).to.deep.equal([250, 250, 100]);
    expect(calls[0]!.assetIds.slice(0, 2)).to.deep.equal(['coin-0', 'coin-1']);
    expect(new Set(calls.flatMap(({ assetIds }) => assetIds)).size).to.equal(600);
  });

  it('makes no more calls than can be afforded, and leaves the cold ones out', () => {
    const calls = plan({ ages: aged(600, 46), maxCalls: 1 });
    expect(calls).to.have.length(1);
    expect(calls[0]!.assetIds).to.include('coin-249').and.not.include('coin-250');
  });

  it('fills a call up with what is half way, and with nothing younger', () => {
    const [call, ...more] = plan({ ages: { young: 10, ...aged(300, 30, 'half'), due: 50 } });
    expect(more).to.deep.equal([]);
    expect(call!.assetIds).to.have.length(250);
    expect(call!.assetIds[0]).to.equal('due');
    expect(call!.assetIds).to.not.include('young');
  });

  it('takes along in one call what another has taken along in none', () => {
    const [one, other] = ['a'.repeat(40), 'b'.repeat(40)];
    const calls = plan({ ages: { [one]: 50, [other]: 50, ...aged(12, 30, 'half') }, maxBytes: 70 });
    const all = calls.flatMap(({ assetIds }) => assetIds);
    expect(calls).to.have.length(2);
    expect(all.filter((id) => id.startsWith('half')).length).to.be.above(2);
    expect(new Set(all).size).to.equal(all.length);
  });

  it('includes what has no quote, and leaves out what cannot be had', () => {
    const [call] = plan({ ages: { gone: 'none', broken: 'fails' } });
    expect(call!.assetIds).to.deep.equal(['gone']);
  });

  it('keeps a list within its bytes', () => {
    const calls = plan({ ages: aged(30, 60), maxBytes: 70 });
    expect(Math.max(...calls.map(({ assetIds }) => assetIds.join().length))).to.be.at.most(70);
    expect(calls.flatMap(({ assetIds }) => assetIds)).to.have.length(30);
  });

  describe('of pages of the ranking', () => {
    const assetIds = Object.keys(aged(250, 0));

    it('takes a page that covers as much as a list of ids, because it renews the order too', () => {
      const page = { page: 1, age: 50, assetIds };
      const [call, ...more] = plan({ ages: { [pageItem(1)]: 0, ...aged(80, 50) }, pages: [page] });
      expect(more).to.deep.equal([]);
      expect(call).to.deep.include({ page: 1, assetIds: [] });
    });

    it('takes a list of ids that covers more', () => {
      const page = { page: 1, age: 10, assetIds };
      const [call] = plan({ ages: { ...aged(80, 50), ...aged(80, 50, 'other') }, pages: [page] });
      expect(call!.page).to.equal(undefined);
      expect(call!.assetIds).to.have.length(160);
    });

    it('renews a page that is read though all of its assets are fresh, and none that is fresh', () => {
      const ages = { [pageItem(2)]: 0, ...aged(10, 5) };
      expect(plan({ ages, pages: [{ page: 2, age: 50, assetIds }] })[0]).to.include({ page: 2 });
      expect(plan({ ages, pages: [{ page: 2, age: 20, assetIds }] })).to.deep.equal([]);
    });
  });
});
