/** How far a run is, as its rows and its events tell it. */
import { expect } from 'chai';
import type { RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import type { JobEvent } from '../../../src/features/jobs/job-events.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { RunProgress } from '../../../workers/processors/jobs/run-progress.ts';

describe('the progress of a run', () => {
  let now: number;
  let rows: number[];
  let sent: JobEvent[];
  let progress: RunProgress;

  beforeEach(() => {
    [now, rows, sent] = [1_000_000, [], []];
    const markProgress: RunQueries['markProgress'] = (_run, done) => {
      rows.push(done);
      return Promise.resolve();
    };
    progress = new RunProgress({
      runs: { markProgress } as RunQueries,
      events: {
        append: (_subject, events) => {
          sent.push(...events);
          return Promise.resolve();
        },
      },
      clock: { now: () => now },
      log: silentLogger(),
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
});
