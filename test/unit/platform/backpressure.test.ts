import { expect } from 'chai';
import { SlowGuard } from '../../../src/platform/realtime/backpressure.ts';

describe('SlowGuard', () => {
  /** Judges a client that has so many bytes unsent at these seconds. */
  function judge(...course: readonly (readonly [second: number, unsent: number])[]): string[] {
    let bytes = 0;
    const guard = new SlowGuard({
      unsentBytes: () => bytes,
      write: () => undefined,
      end: () => undefined,
      cut: () => undefined,
    });
    return course.map(([second, unsent]) => {
      bytes = unsent;
      return guard.judge(second * 1_000);
    });
  }

  it('takes a client that has taken everything, or nearly, for ready', () => {
    expect(judge([0, 0], [1, 65_536], [2, 0])).to.deep.equal(['ready', 'ready', 'ready']);
  });

  it('takes one above 64 KiB for behind, and for slow after ten seconds of it', () => {
    expect(judge([0, 65_537], [9.999, 70_000], [10, 65_537])).to.deep.equal(['behind', 'behind', 'slow']);
  });

  it('begins to count anew when the client has caught up', () => {
    expect(judge([0, 70_000], [9, 60_000], [11, 70_000], [20.9, 70_000], [21, 70_000])).to.deep.equal([
      'behind',
      'ready',
      'behind',
      'behind',
      'slow',
    ]);
  });

  it('takes one above 1 MiB for slow at once', () => {
    expect(judge([0, 1_048_576], [0.1, 1_048_577])).to.deep.equal(['behind', 'slow']);
  });

  it('takes a connection that has not taken a few bytes for a minute for slow', () => {
    expect(judge([0, 10], [59.9, 10], [60, 10])).to.deep.equal(['ready', 'ready', 'slow']);
    expect(judge([0, 10], [59, 0], [61, 10], [120, 10], [121, 10])).to.deep.equal([
      'ready',
      'ready',
      'ready',
      'ready',
      'slow',
    ]);
  });
});
