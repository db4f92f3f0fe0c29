/** How far a run is, as its rows and its events tell it. */
import { expect } from 'chai';
import type { RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import type { JobEvent } from '../../../src/features/jobs/job-events.ts';
import { RunProgress } from '../../../workers/processors/jobs/run-progress.ts';
import { recordingLogger, type LoggedLine } from '../../support/recording-logger.ts';

describe('the progress of a run', () => {
  let now: number;
  let rows: number[];
  let sent: JobEvent[];
  let progress: RunProgress;
  /** Entries that were appended. */
  let entries: number;
  let isAway: boolean;
  let lines: LoggedLine[];

  beforeEach(() => {
    [now, rows, sent, entries, isAway] = [1_000_000, [], [], 0, false];
    const logger = recordingLogger();
    lines = logger.lines;
    const markProgress: RunQueries['markProgress'] = (_run, done) => {
      rows.push(done);
      return Promise.resolve();
    };
    progress = new RunProgress({
      runs: { markProgress } as RunQueries,
      events: {
        append: (_subject, events) => {
          if (isAway) return Promise.reject(new Error('Redis is away'));
          entries++;
          sent.push(...events);
          return Promise.resolve();
        },
      },
      clock: { now: () => now },
      log: logger.log,
      workKey: 'work',
      total: 100,
      startedAt: new Date(now),
    });
  });

  const reported = (): unknown[] => sent.map(({ data }) => data);

  it('never goes back, whatever a second attempt says, nor beyond its total', async () => {
    for (const done of [70, 30, 70, 80, 120]) {
      progress.reached(done);
      now += 1_000;
    }
    await progress.flushed();
    expect(rows).to.deep.equal([70, 80, 100]);
    expect(reported()).to.deep.equal([70, 80, 100].map((done) => ({ done, total: 100 })));
  });

  it('is written to the rows twice a second at most, and told with every step', async () => {
    for (let done = 1; done <= 10; done++) {
      progress.reached(done);
      now += 100;
    }
    await progress.flushed();
    expect(rows).to.deep.equal([1, 6]);
    expect(sent).to.have.length(10);
  });

  it('is told with the price of each asset, or why there is none', async () => {
    const quote = { assetId: 'bitcoin', currency: 'usd', receivedAt: now, head: '{"price":4.5' };
    progress.waits();
    progress.settled([
      { assetId: 'bitcoin', state: 'fresh', quote },
      { assetId: 'quiet', state: 'unpriced', quote: undefined, reason: 'no price' },
      { assetId: 'gone', state: 'not_found', quote: undefined, reason: 'unknown' },
    ]);
    await progress.flushed();
    expect(sent).to.deep.equal([
      { type: 'job.progress', data: { done: 0, total: 100 } },
      { type: 'job.coin', data: { id: 'bitcoin', state: 'fresh', price: 4.5 } },
      { type: 'job.coin', data: { id: 'quiet', state: 'unpriced', price: null, reason: 'no price' } },
      { type: 'job.coin', data: { id: 'gone', state: 'not_found', reason: 'unknown' } },
      { type: 'job.progress', data: { done: 3, total: 100 } },
    ]);
  });

  it('of a run that the cache answers is told in one entry with its end', async () => {
    const settled = Array.from({ length: 100 }, (_, n) => ({
      assetId: `coin-${n}`,
      state: 'not_found' as const,
      quote: undefined,
    }));
    progress.settled(settled);
    await progress.flushed();
    expect([entries, rows]).to.deep.equal([0, []]);
    await progress.completed(['a', 'b']);
    expect(entries).to.equal(1);
    expect(sent.at(-1)).to.deep.equal({
      type: 'job.completed',
      data: { state: 'completed', progress: { done: 100, total: 100 } },
      jobs: ['a', 'b'],
    });
  });

  it('goes on after what could not be told, and says so in the log', async () => {
    isAway = true;
    progress.reached(10);
    await progress.flushed();
    isAway = false;
    progress.reached(20);
    await progress.flushed();
    expect(reported()).to.deep.equal([{ done: 20, total: 100 }]);
    expect(lines[0]).to.deep.include({ level: 'warn', fields: { reason: 'Redis is away' } });
  });
});
