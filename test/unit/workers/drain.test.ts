import { getEventListeners } from 'node:events';
import { mock } from 'node:test';
import { expect } from 'chai';
import { createDrain } from '../../../workers/runtime/drain.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';

describe('drain', () => {
  const never = new AbortController().signal;

  it('stops those who wait at once, and lets calls go on for a moment', () => {
    const drain = createDrain();
    const job = drain.watch(never);
    drain.begin();
    expect(job.waits.reason).to.be.instanceOf(Requeue);
    expect(job.calls.aborted).to.equal(false);
  });

  it('stops both when the job is taken away', () => {
    const lock = new AbortController();
    const job = createDrain().watch(lock.signal);
    lock.abort(new Error('the lock was lost'));
    expect(job.waits.aborted).to.equal(true);
    expect(job.calls.reason).to.have.property('message', 'the lock was lost');
  });

  it('knows a job that starts too late, and forgets one that is over', () => {
    const drain = createDrain();
    const over = drain.watch(never);
    over.end();
    drain.begin();
    expect(over.waits.aborted).to.equal(false);
    expect(drain.watch(never).waits.aborted).to.equal(true);
  });

  it('stops calls after two seconds, of those jobs alone that were in hand', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const drain = createDrain();
      const before = drain.watch(never);
      drain.begin();
      mock.timers.tick(1_999);
      expect(before.calls.aborted).to.equal(false);
      drain.end();
      const after = drain.watch(never);
      mock.timers.tick(1);
      expect(before.calls.reason).to.be.instanceOf(Requeue);
      expect(after.calls.aborted).to.equal(false);
    } finally {
      mock.timers.reset();
    }
  });

  it('lets jobs run that start when the worker goes on', () => {
    const drain = createDrain();
    drain.begin();
    drain.end();
    expect(drain.watch(never).waits.aborted).to.equal(false);
  });

  it('stops a job that gives way, and no call of it', () => {
    const drain = createDrain();
    const [large, other] = [drain.watch(never), drain.watch(never)];
    large.stopWaiting(new Requeue('a smaller job waits'));
    expect([large.waits.aborted, large.calls.aborted, other.waits.aborted]).to.deep.equal([
      true,
      false,
      false,
    ]);
  });

  it('leaves nothing on the signal of a job that is over, and knows one that is gone when it starts', () => {
    const lock = new AbortController();
    const drain = createDrain();
    const job = drain.watch(lock.signal);
    expect(getEventListeners(lock.signal, 'abort')).to.have.length(1);
    job.end();
    expect(getEventListeners(lock.signal, 'abort')).to.deep.equal([]);
    lock.abort(new Error('the lock was lost'));
    const gone = drain.watch(lock.signal);
    expect([gone.waits.aborted, gone.calls.aborted]).to.deep.equal([true, true]);
  });
});
