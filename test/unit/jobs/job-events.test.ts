/** The log of job events: how it is written, and the order of its ids. */
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import {
  createJobEventLog,
  isAfterEnd,
  isBefore,
  isLastEvent,
  parseJobEventEntry,
  type JobEvent,
} from '../../../src/features/jobs/job-events.ts';

describe('the log of job events', () => {
  it('keeps a bounded number of entries, and gives back what was appended', async () => {
    const added: unknown[][] = [];
    const redis = { xadd: (...given: unknown[]) => Promise.resolve(void added.push(given)) };
    const events: JobEvent[] = [{ type: 'job.progress', data: { done: 1, total: 2 } }];
    await createJobEventLog(redis as unknown as Redis, 'stream').append('work:a', events);
    const [[key, limit, about, kept, id, ...fields] = []] = added;
    expect([key, limit, about, kept, id]).to.deep.equal(['stream', 'MAXLEN', '~', 20_000, '*']);
    const entry = parseJobEventEntry(['7-0', fields as string[]]);
    expect(entry).to.deep.equal({ id: '7-0', subject: 'work:a', events });
  });

  it('orders ids by time, then by sequence, as numbers', () => {
    expect([isBefore('9-0', '10-0'), isBefore('10-0', '9-0')]).to.deep.equal([true, false]);
    expect([isBefore('5-9', '5-10'), isBefore('5-10', '5-9')]).to.deep.equal([true, false]);
    expect(isBefore('5-1', '5-1')).to.equal(false);
    expect([isBefore('5', '5-1'), isBefore('5-0', '5')]).to.deep.equal([true, false]);
    expect([isBefore('5-0', '+'), isBefore('+', '5-0')]).to.deep.equal([true, false]);
  });

  it('takes an end without a sequence for the whole millisecond', () => {
    expect([isAfterEnd('5-3', '5'), isAfterEnd('6-0', '5')]).to.deep.equal([false, true]);
    expect([isAfterEnd('5-3', '5-3'), isAfterEnd('5-4', '5-3')]).to.deep.equal([false, true]);
    expect(isAfterEnd('99-0', '+')).to.equal(false);
  });

  it('ends with completion, failure and cancellation alone', () => {
    const types = ['job.progress', 'job.coin', 'job.completed', 'job.failed', 'job.cancelled'] as const;
    expect(types.map(isLastEvent)).to.deep.equal([false, false, true, true, true]);
  });
});
