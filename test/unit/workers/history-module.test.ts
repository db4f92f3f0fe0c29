/** The maintenance of price history: partitions, retention of what is rolled up, and the report of what is late. */
import { expect } from 'chai';
import { createHistoryProcessors } from '../../../workers/processors/history/module.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const now = Date.parse('2026-03-01T00:00:00Z');
const day = 86_400;

describe('the maintenance of price history', () => {
  let ensured: { granularity: string; from: number; to: number }[];
  let ages: Record<string, number>;
  let roll: () => Promise<{ written: number }>;
  let watermarks: Record<string, number>;
  let purged: unknown[];

  beforeEach(() => {
    [ensured, purged] = [[], []];
    ages = { '1h': 0, '1d': 0 };
    watermarks = {};
    roll = () => Promise.resolve({ written: 3 });
  });

  function open() {
    const { log, lines } = recordingLogger();
    const history = {
      rolls: {
        roll: () => roll(),
        ages: () => Promise.resolve(ages),
        watermarks: () => Promise.resolve(watermarks),
      },
      partitions: {
        ensure: (each: (typeof ensured)[number]) => Promise.resolve(void ensured.push(each)),
        purge: (...given: unknown[]) => {
          purged.push(...given);
          return Promise.resolve({ dropped: 2, deleted: 5 });
        },
      },
      asks: { purge: () => Promise.resolve(9) },
    };
    const config = { HISTORY_RETENTION_5M: 7 * day, HISTORY_RETENTION_1H: 100 * day };
    const module = createHistoryProcessors(
      { config, clock: { now: () => now }, log } as never,
      { history, sources: () => ({}) } as never,
    );
    const maintenance = module.processors.maintenance();
    return { lines, module, roll: () => maintenance['candles.roll']() };
  }

  it('makes partitions some time ahead, also when rolling up fails', async () => {
    expect(await open().roll()).to.deep.equal({ written: 3 });
    const days = ensured.map(({ granularity, from, to }) => [
      granularity,
      from - now,
      (to - now) / 86_400_000,
    ]);
    expect(days).to.deep.equal([
      ['5m', 0, 3],
      ['1h', 0, 10],
      ['1d', 0, 40],
    ]);
    ensured = [];
    roll = () => Promise.reject(new Error('the disk is full'));
    const failed = await open()
      .roll()
      .catch((error: unknown) => String(error));
    expect(failed).to.equal('Error: the disk is full');
    expect(ensured).to.have.length(3);
  });

  it('warns when candles are late, now and then while they stay so, and says when that is over', async () => {
    const realNow = performance.now.bind(performance);
    let ahead = 0;
    performance.now = () => realNow() + ahead;
    try {
      const { lines, roll: run } = open();
      const levels = (): string[] => lines.map(({ level }) => level);
      ages = { '1h': 900, '1d': 10 };
      await run();
      expect(levels()).to.deep.equal([]);
      ages = { '1h': 10, '1d': 901 };
      for (let n = 0; n < 3; n++) await run();
      expect(levels()).to.deep.equal(['warn']);
      expect(lines[0]?.fields).to.deep.equal({ age_seconds: 901, ages });
      ahead = 600_000;
      await run();
      expect(levels()).to.deep.equal(['warn', 'warn']);
      ages = {};
      for (let n = 0; n < 2; n++) await run();
      expect(levels()).to.deep.equal(['warn', 'warn', 'info']);
    } finally {
      performance.now = realNow;
    }
  });

  it('keeps what is not rolled up yet, at any age', async () => {
    const purge = async () => {
      purged = [];
      return await open().module.retentions['candles.purge'].partitions();
    };
    expect(await purge()).to.equal(7);
    expect(purged).to.deep.equal([{}, now]);
    watermarks = { '1h': now - day * 1_000, '1d': now - 200 * day * 1_000 };
    await purge();
    expect(purged[0]).to.deep.equal({ '5m': 7 * day, '1h': 200 * day + 3_600 });
    watermarks = { '1h': now - 30 * day * 1_000, '1d': now - day * 1_000 };
    await purge();
    expect(purged[0]).to.deep.equal({ '5m': 30 * day + 3_600, '1h': 100 * day });
  });
});
