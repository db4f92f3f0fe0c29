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
});
