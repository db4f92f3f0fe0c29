import { expect } from 'chai';
import { createCallLog } from '../../../embedded/market/market-state.ts';

function setUp(capacity?: number) {
  const time = { at: 1_000_000 };
  return { time, log: createCallLog({ now: () => time.at }, capacity) };
}

describe('the call log of the market', () => {
  it('admits the limit in any sliding minute and says exactly when the next call may come', () => {
    const { time, log } = setUp();
    expect(log.admit(2)).to.deep.equal({ admitted: true });
    time.at += 10_000;
    expect(log.admit(2)).to.deep.equal({ admitted: true });
    time.at += 5_000.5;
    expect(log.admit(2)).to.deep.equal({ admitted: false, retryAfterMs: 44_999.5 });
    time.at += 44_999.25;
    expect(log.admit(2)).to.deep.equal({ admitted: false, retryAfterMs: 0.25 });
    time.at += 0.25;
    expect(log.admit(2)).to.deep.equal({ admitted: true });
    expect(log.admit(2)).to.deep.equal({ admitted: false, retryAfterMs: 10_000 });
    expect(log.rejected()).to.equal(3);
  });

  it('admits everything without a limit, and remembers those calls when one is set', () => {
    const { log } = setUp();
    for (let call = 0; call < 5; call += 1) expect(log.admit(undefined).admitted).to.equal(true);
    expect(log.admit(5).admitted).to.equal(false);
  });

  it('admits nothing under a limit of 0', () => {
    expect(setUp().log.admit(0).admitted).to.equal(false);
  });

  it('finds the worst minute across the bounds of clock minutes', () => {
    const { time, log } = setUp();
    const receive = (count: number) => {
      for (let call = 0; call < count; call += 1) log.receive('/ping', 0);
    };
    time.at = 59_000;
    receive(30);
    time.at = 61_000;
    receive(30);
    expect(log.worstSlidingMinute()).to.equal(60);
    time.at = 119_000; // The first thirty leave just now.
    receive(1);
    expect(log.worstSlidingMinute()).to.equal(60);
    log.reset();
    expect(log.worstSlidingMinute()).to.equal(0);
    receive(1);
    expect(log.worstSlidingMinute()).to.equal(1);
  });

  it('counts exactly over many more calls than it remembers', () => {
    const { time, log } = setUp(10);
    for (let call = 0; call < 60_000; call += 1) {
      log.receive('/ping', call);
      time.at += 10;
    }
    expect(log.worstSlidingMinute()).to.equal(6_000);
    expect(log.total()).to.equal(60_000);
    expect(log.calls().map(({ ids }) => ids)).to.deep.equal(
      Array.from({ length: 10 }, (_, index) => 59_990 + index),
    );
  });

  it('shows a call without a status until it is answered', () => {
    const { log } = setUp();
    const setStatus = log.receive('/simple/price', 3);
    expect(log.calls()).to.deep.equal([{ at: 1_000_000, path: '/simple/price', ids: 3, status: 0 }]);
    setStatus(200);
    expect(log.calls()[0]?.status).to.equal(200);
  });
});
