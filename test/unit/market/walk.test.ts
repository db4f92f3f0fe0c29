import { expect } from 'chai';
import {
  maxDailyMove,
  unitNoise,
  walkKey,
  walkPrice,
  type Walker,
} from '../../../embedded/market/simulated-source.ts';

const dayMs = 86_400_000;
const start = Date.UTC(2026, 0, 1);

function walkerOf(seed: number, id: string, volatility = 1): Walker {
  return { base: 100, volatility, key: walkKey(seed, id), marketKey: walkKey(seed, '*market*') };
}

describe('the simulated walk', () => {
  it('gives the same price for the same seed, id and time, in any order of asking', () => {
    const times = Array.from({ length: 50 }, (_, index) => start + index * 5_000);
    const forwards = times.map((at) => walkPrice(walkerOf(7, 'bitcoin'), at));
    const backwards = times.toReversed().map((at) => walkPrice(walkerOf(7, 'bitcoin'), at));
    expect(backwards.toReversed()).to.deep.equal(forwards);
  });

  it('keeps its prices over releases: replays of a seed are compared with stored ones', () => {
    expect(walkPrice(walkerOf(1, 'bitcoin'), start)).to.be.closeTo(100.71936343996177, 1e-9);
  });

  it('differs between seeds and between ids', () => {
    const prices = [walkerOf(1, 'bitcoin'), walkerOf(2, 'bitcoin'), walkerOf(1, 'ethereum')].map((walker) =>
      walkPrice(walker, start),
    );
    expect(new Set(prices).size).to.equal(3);
  });

  it('moves at every step of five seconds', () => {
    const walker = walkerOf(3, 'solana');
    const prices = Array.from({ length: 200 }, (_, index) => walkPrice(walker, start + index * 5_000));
    expect(new Set(prices).size).to.equal(200);
  });

  it('does not jump: a step of a second moves the price by less than a thousandth', () => {
    const walker = walkerOf(5, 'cardano');
    for (let at = start; at < start + 600_000; at += 1_000) {
      expect(Math.abs(walkPrice(walker, at + 1_000) / walkPrice(walker, at) - 1)).to.be.below(0.001);
    }
  });

  it('is positive, stays near its base and never moves by more than the bound within a day', () => {
    const [volatility, seeds] = [1, Array.from({ length: 40 }, (_, index) => index)];
    const bound = maxDailyMove(volatility);
    expect(bound).to.be.within(0.05, 0.35);
    for (const seed of seeds) {
      const walker = walkerOf(seed, `asset-${seed}`, volatility);
      for (let at = start; at < start + 400 * dayMs; at += 0.37 * dayMs) {
        const [before, after] = [walkPrice(walker, at), walkPrice(walker, at + dayMs)];
        expect(after).to.be.within(70, 140);
        expect(Math.abs(after / before - 1)).to.be.at.most(bound);
      }
    }
  });

  it('moves more with a higher volatility, and a stablecoin hardly at all', () => {
    expect(maxDailyMove(0.01)).to.be.below(0.003);
    expect(maxDailyMove(1)).to.be.above(maxDailyMove(0.4));
  });

  it('draws evenly from 0 to 1', () => {
    const draws = Array.from({ length: 10_000 }, (_, salt) => unitNoise(walkKey(1, 'x'), salt));
    const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    expect(Math.min(...draws)).to.be.at.least(0);
    expect(Math.max(...draws)).to.be.below(1);
    expect(mean).to.be.within(0.48, 0.52);
  });
});
