import { expect } from 'chai';
import type { Candle } from '../../../src/domain/candle.ts';
import type { Quote } from '../../../src/domain/quote.ts';
import { TickRecorder } from '../../../src/features/history/tick-recorder.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { waitFor } from '../../support/wait-for.ts';

const now = Date.UTC(2026, 5, 10, 12, 1);

function quote(different: Partial<Quote> = {}): Quote {
  return {
    assetId: 'bitcoin',
    symbol: 'btc',
    name: 'Bitcoin',
    currency: 'usd',
    price: 100,
    marketCap: 5,
    rank: 1,
    change24h: null,
    changePercent24h: null,
    volume24h: 7,
    source: 'coingecko',
    asOf: new Date(now - 20_000).toISOString(),
    receivedAt: now,
    ...different,
  };
}

/** Remembers what was written, and fails as often as told. */
function standIn(failures = 0) {
  const written: Candle[][] = [];
  let calls = 0;
  return {
    written,
    calls: () => calls,
    mergeLive: (candles: readonly Candle[]) => {
      calls++;
      if (calls <= failures) return Promise.reject(new Error('away'));
      written.push([...candles]);
      return Promise.resolve();
    },
  };
}

describe('the recorder of ticks', () => {
  const log = silentLogger();

  it('writes many answers as one statement, each asset and interval once', async () => {
    const candles = standIn();
    const recorder = new TickRecorder({ candles, log });
    recorder.observe([quote(), quote({ assetId: 'ethereum', price: 3 })]);
    recorder.observe([quote({ price: 104, asOf: new Date(now - 10_000).toISOString() })]);
    recorder.observe([quote({ price: 98, asOf: null })]);
    await waitFor(() => candles.written.length > 0, { what: 'a statement', timeoutMs: 5_000 });
    expect(candles.written).to.have.length(1);
    const [bitcoin, ethereum] = candles.written[0] ?? [];
    expect(bitcoin).to.deep.include({ open: 100, high: 104, low: 98, close: 98, observations: 3 });
    expect(bitcoin).to.deep.include({ openTime: now - 60_000, firstAt: now - 20_000, lastAt: now });
    expect(ethereum?.close).to.equal(3);
    await recorder.close();
    expect(candles.calls()).to.equal(1);
  });

  it('keeps what could not be written, merged with what comes meanwhile', async () => {
    const candles = standIn(1);
    const recorder = new TickRecorder({ candles, log });
    recorder.observe([quote()]);
    await waitFor(() => candles.calls() === 1, { what: 'a failure', timeoutMs: 5_000 });
    recorder.observe([quote({ price: 120, asOf: null })]);
    await recorder.close();
    expect(candles.written.flat()).to.have.length(1);
    expect(candles.written[0]?.[0]).to.deep.include({ open: 100, close: 120, observations: 2 });
    expect(recorder.pending).to.equal(0);
  });

  it('takes no news that is none: replays, prices of hours ago, clocks that are far ahead', async () => {
    const candles = standIn();
    const recorder = new TickRecorder({ candles, log });
    const at = (ms: number): string => new Date(ms).toISOString();
    recorder.observe([quote({ asOf: at(now - 2 * 3_600_000) }), quote({ asOf: at(now + 600_000) })]);
    recorder.observe([quote({ asOf: at(Date.UTC(2017, 1, 1)) })]);
    expect(recorder.pending).to.equal(0);
    await recorder.close();
  });

  it('takes prices of up to an hour ago, and of clocks a little ahead, at their own moment', async () => {
    const candles = standIn();
    const recorder = new TickRecorder({ candles, log });
    const moments = [now - 59 * 60_000, now + 50_000];
    recorder.observe(moments.map((at) => quote({ asOf: new Date(at).toISOString() })));
    await recorder.close();
    expect(candles.written.flat().map(({ firstAt }) => firstAt)).to.deep.equal(moments);
  });

  it('holds no more than it may while Postgres is away, and says what it lost', async () => {
    let dropped = 0;
    const candles = standIn(Infinity);
    const recorder = new TickRecorder({ candles, log, onDropped: (count) => (dropped += count) });
    for (let batch = 0; batch < 60; batch++) {
      recorder.observe(Array.from({ length: 1000 }, (_, n) => quote({ assetId: `asset-${batch}-${n}` })));
    }
    expect(recorder.pending).to.equal(50_000);
    expect(dropped).to.equal(10_000);
    await recorder.close();
  });
});
