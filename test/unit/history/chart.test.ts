import { expect } from 'chai';
import {
  dayMs,
  granularityOf,
  isCoarser,
  joinCandles,
  ohlcLengthOf,
  type OhlcPart,
} from '../../../src/features/history/chart.ts';
import { candleOf, mergeCandles, type Observation } from '../../../src/domain/candle.ts';

const now = Date.UTC(2026, 4, 20, 9, 17);
const hour = 3_600_000;

describe('the distance of the points of a chart', () => {
  const of = (days: number, to = now) => granularityOf({ from: to - days * dayMs, to, now });

  it('is five minutes for a day until now, hours up to 90 days, else days', () => {
    expect([0.5, 1, 2, 30, 90, 91, 365].map((days) => of(days))).to.deep.equal([
      '5m',
      '5m',
      '1h',
      '1h',
      '1h',
      '1d',
      '1d',
    ]);
  });

  it('is an hour for a single day of the past', () => {
    expect(of(1, now - 3 * dayMs)).to.equal('1h');
  });

  it('of candles is 30 minutes, 4 hours or 4 days', () => {
    expect([1, 2, 7, 30, 90, 365].map(ohlcLengthOf)).to.deep.equal(
      [0.5, 0.5, 4, 4, 96, 96].map((hours) => hours * hour),
    );
  });
});

describe('long candles', () => {
  const begin = Date.UTC(2026, 4, 20);
  const span = { from: begin, lengthMs: 4 * hour, partMs: hour };
  const part = (index: number, price: number): OhlcPart => ({
    openTime: begin + index * hour,
    open: price,
    high: price + 1,
    low: price - 1,
    close: price + 0.5,
  });

  it('are joined of all their parts', () => {
    const parts = [part(0, 10), part(1, 30), part(2, 5), part(3, 20)];
    const { candles, missing } = joinCandles(parts, { ...span, now: begin + 4 * hour });
    expect(candles).to.deep.equal([{ openTime: begin, open: 10, high: 31, low: 4, close: 20.5 }]);
    expect(missing).to.equal(0);
  });

  it('are not made where a part is missing', () => {
    const parts = [part(0, 10), part(1, 30), part(3, 20)];
    const { candles, missing } = joinCandles(parts, { ...span, now: begin + 4 * hour });
    expect([candles.length, missing]).to.deep.equal([0, 1]);
  });

  it('may still be running', () => {
    const parts = [part(0, 10), part(1, 30)];
    const { candles, missing } = joinCandles(parts, { ...span, now: begin + 2.5 * hour });
    expect([candles.at(-1)?.close, missing]).to.deep.equal([30.5, 0]);
  });

  it('are not made where the running part would stand in for one that nobody has seen', () => {
    const running = (parts: readonly OhlcPart[], hours: number) =>
      joinCandles(parts, { ...span, now: begin + hours * hour });
    expect(running([part(1, 30)], 1.1)).to.deep.equal({ candles: [], missing: 0 });
    expect(running([part(0, 10), part(2, 30)], 2.1).candles).to.deep.equal([]);
    expect(running([part(0, 10), part(1, 30)], 1.1).candles.map(({ high }) => high)).to.deep.equal([31]);
    expect(running([part(0, 10)], 0.1).candles).to.have.length(1);
    expect(running([], 0.1).candles).to.deep.equal([]);
  });
});

describe('points coarser than asked for', () => {
  const every = (ms: number, count: number) => Array.from({ length: count }, (_, index) => now + index * ms);
  const jittered = (ms: number) => every(ms, 40).map((at, index) => at + ((index * 7919) % 60) * 1_000);

  it('are days for hours, and hours for minutes', () => {
    expect(isCoarser(jittered(dayMs), '1h')).to.equal(true);
    expect(isCoarser([...every(dayMs, 91), now + 90.4 * dayMs], '1h')).to.equal(true);
    expect(isCoarser(jittered(hour), '5m')).to.equal(true);
    expect(isCoarser(jittered(dayMs).toReversed(), '5m')).to.equal(true);
  });

  it('are not what was asked for, finer, sparse or too few', () => {
    expect(isCoarser(jittered(hour), '1h')).to.equal(false);
    expect(isCoarser(jittered(300_000), '1h')).to.equal(false);
    expect(isCoarser(jittered(dayMs), '1d')).to.equal(false);
    const sparse = [0, 3, 4, 9, 33, 34, 58, 70, 71, 100, 148].map((hours) => now + hours * hour);
    expect(isCoarser(sparse, '1h')).to.equal(false);
    for (const count of [0, 1, 2]) expect(isCoarser(every(dayMs, count), '1h')).to.equal(false);
  });
});

describe('a candle', () => {
  const seen = (at: number, price: number, source = 'a'): Observation => ({
    assetId: 'bitcoin',
    currency: 'usd',
    at,
    price,
    marketCap: price * 10,
    volume: null,
    source,
  });
  const five = 300_000;
  const candle = (at: number, price: number, source?: string) => candleOf(seen(at, price, source), five);

  it('opens with the first and closes with the last observation, in whatever order they come', () => {
    const parts = [candle(five + 20, 3), candle(five + 10, 7), candle(five + 30, 5)];
    for (const order of [parts, parts.toReversed()]) {
      const { open, high, low, close, openTime, marketCap } = order.reduce(mergeCandles);
      expect([openTime, open, high, low, close, marketCap]).to.deep.equal([five, 7, 7, 3, 5, 70]);
    }
    expect(parts.reduce(mergeCandles).observations).to.equal(3);
  });

  it('counts the same observation once', () => {
    const twice = mergeCandles(candle(five + 10, 7), candle(five + 10, 7));
    expect(twice).to.deep.equal(candle(five + 10, 7));
  });

  it('names all its sources', () => {
    expect(mergeCandles(candle(five, 7, 'b'), candle(five + 1, 7, 'a')).source).to.equal('b,a');
  });
});
