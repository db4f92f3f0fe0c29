/** What a client of a job is sent, by what is kept of it and what comes meanwhile. */
import { mock } from 'node:test';
import { expect } from 'chai';
import type { JobRecord } from '../../../src/domain/job.ts';
import {
  jobSubject,
  workSubject,
  type JobEvent,
  type JobEventEntry,
} from '../../../src/features/jobs/job-events.ts';
import { createJobStreams } from '../../../src/features/jobs/job-streams.ts';
import { isEndOfJob, JobStream } from '../../../src/features/jobs/job-stream-session.ts';
import type { EventHistoryRequest } from '../../../src/features/jobs/history-search.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { TopicSession } from '../../../src/platform/realtime/topic.ts';
import { jobRecord } from '../../http/support/ports.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { waitFor } from '../../support/wait-for.ts';

const mine = '01934c2a-0000-7000-8000-000000000001';
const theirs = '01934c2a-0000-7000-8000-000000000002';
const start = 1_800_000_000_000;
const minute = 60_000;

const coin = (n: number): JobEvent => ({ type: 'job.coin', data: { n } });
const completed = (...jobs: string[]): JobEvent => ({ type: 'job.completed', data: {}, jobs });
/** An entry so many milliseconds after the job was made. */
const at = (ms: number, events: readonly JobEvent[], subject = workSubject('work')): JobEventEntry => ({
  id: `${start + ms}-0`,
  subject,
  events,
});
/** Somebody's job of long before: nothing of what followed is missing. */
const old = at(-minute, [coin(0), completed(theirs)], workSubject('other'));

const running = (different: Partial<JobRecord> = {}): JobRecord =>
  jobRecord({ id: mine, workKey: 'work', state: 'running', createdAt: new Date(start), ...different });
const done = (different: Partial<JobRecord> = {}): JobRecord =>
  running({ state: 'completed', done: 2, finishedAt: new Date(start + 100), ...different });

describe('JobStream', () => {
  let kept: JobEventEntry[];
  let happen: (entry: JobEventEntry) => void;
  let requested: EventHistoryRequest[];
  let now: number;
  /** When every entry from then on is delivered. */
  let ready: Promise<void>;
  let subscriptions: number;
  /** What happens while the reader is asked for the oldest entry, and for the name of the history. */
  let whileRequested: { oldest?: () => void; epoch?: () => void };

  beforeEach(() => {
    kept = [old];
    requested = [];
    now = start + minute;
    ready = Promise.resolve();
    subscriptions = 0;
    whileRequested = {};
  });

  const reader = {
    subscribe(_subjects: readonly string[], onEntry: (entry: JobEventEntry) => void) {
      happen = onEntry;
      subscriptions++;
      return {
        ready,
        close: () => {
          subscriptions--;
        },
      };
    },
    history: (request: EventHistoryRequest) => {
      requested.push(request);
      const [from, to] = [request.from, request.to].map((id) =>
        id === '+' ? Infinity : Number.parseInt(id, 10),
      );
      const isOf = ({ id, subject }: JobEventEntry): boolean =>
        request.subjects.includes(subject) &&
        Number.parseInt(id, 10) >= from! &&
        Number.parseInt(id, 10) <= to!;
      return Promise.resolve(kept.filter(isOf));
    },
    oldestId: () => {
      whileRequested.oldest?.();
      return Promise.resolve(kept[0]?.id);
    },
    epoch: () => {
      whileRequested.epoch?.();
      return Promise.resolve('epoch');
    },
    close: () => Promise.resolve(),
  };

  /** Names of what was sent, a coin with its number; `hello!` greets a client that cannot have all. */
  function open(job: JobRecord, lastEventId?: string) {
    const sent: string[] = [];
    const client = { sent, isComplete: false, ids: [] as string[], data: [] as Record<string, unknown>[] };
    const write = ({ sse }: { sse: Buffer }): void => {
      const text = String(sse);
      const name = /^event: (.*)$/m.exec(text)?.[1] ?? '';
      const data = JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '{}');
      const id = /^id: (.*)$/m.exec(text)?.[1];
      if (id !== undefined) client.ids.push(id);
      client.data.push({ ...data, retry: /^retry: (.*)$/m.exec(text)?.[1] });
      sent.push(data.n === undefined ? `${name}${data.recovered === false ? '!' : ''}` : String(data.n));
    };
    const subscriber = { write: write as never, complete: () => (client.isComplete = true) };
    const stream = new JobStream({ reader, clock: { now: () => now }, subscriber, job, lastEventId });
    return { client, stream, running: stream.run() };
  }
  const sentTo = async (job: JobRecord, lastEventId?: string): Promise<string[]> => {
    const { client, running: run } = open(job, lastEventId);
    await run;
    return client.sent;
  };

  it('tells all of a job that has ended, whoever ran the same work before and after it', async () => {
    kept.push(
      at(-2_000, [coin(7), completed(theirs)]),
      at(50, [coin(1)]),
      at(101, [coin(2), completed(mine)]),
      at(3_000, [coin(8), coin(9), completed(theirs)]),
    );
    expect(await sentTo(done())).to.deep.equal(['hello', '1', '2', 'job.completed']);
    expect(await sentTo(running())).to.deep.equal(['hello', '1', '2', 'job.completed']);
  });

  it('tells a cancelled job until its end, and nothing of the run that goes on for others', async () => {
    kept.push(
      at(50, [coin(1)]),
      at(100, [{ type: 'job.cancelled', data: {}, jobs: [mine] }], jobSubject(mine)),
      at(200, [coin(2), completed(theirs)]),
    );
    const sent = await sentTo(done({ state: 'cancelled', done: 1 }));
    expect(sent).to.deep.equal(['hello', '1', 'job.cancelled']);
  });

  it('begins a job that goes on after the last end of others, also one that comes while history is read', async () => {
    kept.push(at(-10, [coin(7), completed(theirs)]), at(50, [coin(1)]));
    expect(await sentTo(running({ done: 1 }))).to.deep.equal(['hello', '1']);
    kept.splice(1);
    const { client, running: run } = open(running());
    happen(at(-10, [coin(7), completed(theirs)]));
    happen(at(60, [coin(1)]));
    await run;
    happen(at(70, [coin(2), completed(mine)]));
    expect(client).to.deep.include({ sent: ['hello', '1', '2', 'job.completed'], isComplete: true });
  });

  it('loses nothing that comes after history was read and before it is sent', async () => {
    kept.push(at(50, [coin(1)]));
    whileRequested = { oldest: () => happen(at(60, [coin(2)])), epoch: () => happen(at(70, [coin(3)])) };
    const first = open(running({ done: 2 }));
    await first.running;
    expect(first.client.sent).to.deep.equal(['hello', '1', '2', '3']);
    const back = open(running({ done: 2 }), `${start + 50}-0.0`);
    await back.running;
    expect(back.client.sent).to.deep.equal(['hello', '3']);
    happen(at(80, [completed(mine)]));
    expect(back.client).to.deep.include({ sent: ['hello', '3', 'job.completed'], isComplete: true });
  });

  it('ends with an end that comes while history is read, and tells nothing twice', async () => {
    kept.push(at(50, [coin(1)]));
    whileRequested = {
      oldest: () => {
        happen(at(50, [coin(1)]));
        happen(at(60, [coin(2), completed(mine)]));
        happen(at(70, [coin(9)]));
      },
    };
    const { client, running: run } = open(running({ done: 2 }));
    await run;
    expect(client).to.deep.include({ sent: ['hello', '1', '2', 'job.completed'], isComplete: true });
  });

  it('reads history only when all that follows it will be delivered', async () => {
    let subscribed = (): void => undefined;
    ready = new Promise((resolve) => (subscribed = resolve));
    const { client, running: run } = open(running());
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(requested).to.deep.equal([]);
    kept.push(at(50, [coin(1)]));
    subscribed();
    await run;
    expect(client.sent).to.deep.equal(['hello', '1']);
  });

  it('waits a moment for events that follow the row', async () => {
    now = start + 150;
    const { client, running: run } = open(done());
    await waitFor(() => requested.length === 1, { what: 'the search' });
    happen(at(160, [coin(1), coin(2), completed(mine)]));
    await run;
    expect(client.sent).to.deep.equal(['hello', '1', '2', 'job.completed']);
  });

  it('does not say that it has all of a job whose events are gone', async () => {
    // Redis was emptied.
    kept = [];
    expect(await sentTo(done())).to.deep.equal(['hello!', 'reset', 'job.completed']);
    expect(await sentTo(running({ done: 1 }))).to.deep.equal(['hello!', 'reset']);
    // The beginning was trimmed.
    kept = [at(101, [coin(2), completed(mine)])];
    expect(await sentTo(done())).to.deep.equal(['hello!', 'reset', '2', 'job.completed']);
    // The beginning was trimmed, and what is left comes a second time while it is read.
    kept = [at(50, [coin(1)])];
    const twice = open(running({ done: 2 }));
    happen(at(50, [coin(1)]));
    await twice.running;
    expect(twice.client.sent).to.deep.equal(['hello!', 'reset']);
    // The end was never told.
    kept = [old, at(50, [coin(1)])];
    expect(await sentTo(done())).to.deep.equal(['hello!', 'reset', 'job.completed']);
  });

  it('says that it has all of a job that joined a run, or has only begun', async () => {
    kept.push(at(101, [coin(2), completed(mine)]));
    expect(await sentTo(done())).to.deep.equal(['hello', '2', 'job.completed']);
    kept = [];
    expect(await sentTo(running())).to.deep.equal(['hello']);
  });

  it('goes on after the event that was seen, and looks for none that is older than the job', async () => {
    kept.push(at(50, [coin(1), coin(2)]), at(101, [coin(3), completed(mine)]));
    expect(await sentTo(done(), `${start + 50}-0.0`)).to.deep.equal(['hello', '2', '3', 'job.completed']);
    const seenAll = await sentTo(done(), `${start + 50}-0.1`);
    expect(seenAll).to.deep.equal(['hello', '3', 'job.completed']);
    const notOurs = await sentTo(done(), `${start + 50}-0.2`);
    expect(notOurs).to.deep.equal(['hello!', 'reset', 'job.completed']);
    requested = [];
    expect(await sentTo(done(), '0-0.0.end')).to.deep.equal(['hello!', 'reset', 'job.completed']);
    expect(requested).to.deep.equal([]);
  });

  it('marks the id of the last event, by which a client that has it is told not to come back', async () => {
    kept.push(at(50, [coin(1)]), at(101, [coin(2), completed(mine)]));
    const { client, running: run } = open(done());
    await run;
    expect(client.ids).to.deep.equal([`${start + 50}-0.0`, `${start + 101}-0.0`, `${start + 101}-0.1.end`]);
    expect(client.ids.map(isEndOfJob)).to.deep.equal([false, false, true]);
    kept = [];
    const lost = open(done());
    await lost.running;
    expect(lost.client.ids.map(isEndOfJob)).to.deep.equal([true]);
    expect(isEndOfJob(undefined)).to.equal(false);
  });

  it('greets with the job as it is, when to come back, and the name of the history', async () => {
    kept = [];
    const { client, running: run } = open(running({ done: 1, total: 3 }));
    await run;
    const progress = { done: 1, total: 3 };
    expect(client.data).to.deep.equal([
      {
        job: mine,
        state: 'running',
        epoch: 'epoch',
        recovered: false,
        progress,
        server_time: new Date(now).toISOString(),
        retry: '3000',
      },
      { job: mine, state: 'running', progress, retry: undefined },
    ]);
  });

  it('tells the end that its row has, with the reason of a failure, once', async () => {
    const { client, stream, running: run } = open(running());
    await run;
    const error = { code: 'job_failed', message: 'The job failed' };
    const failed = done({ state: 'failed', done: 1, error });
    stream.endWith(failed);
    stream.endWith(failed);
    expect(client).to.deep.include({ sent: ['hello', 'job.failed'], isComplete: true });
    expect(client.data.at(-1)).to.deep.include({ job: mine, state: 'failed', error });
    expect(client.data.at(-1)).to.have.deep.property('progress', { done: 1, total: 2 });
  });

  it('tells an end that its row has only after what came before it', async () => {
    let subscribed = (): void => undefined;
    ready = new Promise((resolve) => (subscribed = resolve));
    kept.push(at(50, [coin(1)]));
    const { client, stream, running: run } = open(running());
    stream.endWith(done());
    expect(client.sent).to.deep.equal([]);
    subscribed();
    await run;
    expect(client).to.deep.include({ sent: ['hello', '1'], isComplete: false });
  });

  it('listens to nothing any more when the job has ended, or the client has gone', async () => {
    kept.push(at(50, [coin(1)]));
    const [ends, goes] = [open(running()), open(running())];
    await Promise.all([ends.running, goes.running]);
    expect(subscriptions).to.equal(2);
    goes.stream.close();
    ends.stream.endWith(done());
    expect(subscriptions).to.equal(0);
  });

  it('subscribes to nothing when it was closed before it started', async () => {
    const { client, stream, running: run } = open(running());
    stream.close();
    await run;
    const late = new JobStream({
      reader,
      clock: { now: () => now },
      subscriber: { write: () => undefined, complete: () => undefined },
      job: running(),
      lastEventId: undefined,
    });
    late.close();
    await late.run();
    expect([subscriptions, client.sent]).to.deep.equal([0, []]);
  });

  it('waits for the last event no longer than until it is closed', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      now = start + 150;
      const { stream, running: run } = open(done());
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      expect(requested).to.have.length(1);
      stream.close();
      await run;
    } finally {
      mock.timers.reset();
    }
  });

  it('wants no history any more when it is closed', async () => {
    const { client, stream, running: run } = open(running());
    stream.close();
    await run;
    expect(requested[0]?.isWanted?.()).to.equal(false);
    expect(client.sent).to.deep.equal([]);
  });
});

describe('the streams of jobs', () => {
  it('look in the rows for the ends of jobs that are followed, and of no other', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      const polls: (readonly string[])[] = [];
      const ends: (() => void)[] = [];
      const stream = {
        write: () => undefined,
        end: () => undefined,
        onClose: (act: () => void) => ends.push(act),
      };
      const streams = createJobStreams({
        realtime: { registerTopic: () => undefined, open: () => stream } as never,
        reader: {
          subscribe: () => ({ ready: Promise.resolve(), close: () => undefined }),
          history: () => Promise.resolve([]),
          oldestId: () => Promise.resolve('0-1'),
          epoch: () => Promise.resolve('epoch'),
          close: () => Promise.resolve(),
        },
        clock: systemClock,
        log: silentLogger(),
        findEnded: (ids) => {
          polls.push(ids);
          return Promise.resolve([]);
        },
        findJob: () => Promise.reject(new Error('nobody asks')),
      });
      for (const id of [mine, theirs])
        streams.open({ job: running({ id }), lastEventId: undefined } as never);
      mock.timers.tick(15_000);
      ends[0]?.();
      mock.timers.tick(15_000);
      ends[1]?.();
      mock.timers.tick(15_000);
      expect(polls).to.deep.equal([[mine, theirs], [theirs]]);
      streams.close();
    } finally {
      mock.timers.reset();
    }
  });

  /** Streams over a reader whose history is `history`; what happens to one of SSE and one of a WebSocket. */
  function openStreams(history: () => Promise<readonly JobEventEntry[]>, ended: readonly JobRecord[] = []) {
    const { log, lines } = recordingLogger();
    const ends: string[] = [];
    const frames: string[] = [];
    const problems: string[] = [];
    const polls: (readonly string[])[] = [];
    let openTopic: ((stream: unknown) => TopicSession<object>) | undefined;
    const streams = createJobStreams({
      realtime: {
        registerTopic: (_kind: string, topic: { open: typeof openTopic }) => (openTopic = topic.open),
        open: () => ({
          write: ({ sse }: { sse: Buffer }) => frames.push(/^event: (.*)$/m.exec(String(sse))?.[1] ?? ''),
          end: (reason: string) => ends.push(reason),
          onClose: () => undefined,
        }),
      } as never,
      reader: {
        subscribe: () => ({ ready: Promise.resolve(), close: () => undefined }),
        history,
        oldestId: () => Promise.resolve('0-1'),
        epoch: () => Promise.resolve('epoch'),
        close: () => Promise.resolve(),
      },
      clock: systemClock,
      log,
      findEnded: (ids) => {
        polls.push(ids);
        return Promise.resolve(ended);
      },
      findJob: (_viewer, id) => Promise.resolve(running({ id })),
    });
    const socket = {
      client: { viewer: {} },
      write: () => undefined,
      writeBytes: (bytes: Buffer) => problems.push(String(bytes)),
    };
    return { streams, lines, ends, frames, problems, polls, topic: () => openTopic!(socket) };
  }

  it('end a stream of a job whose row has ended, when its event was lost', async () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      const { streams, ends, frames } = openStreams(() => Promise.resolve([]), [done()]);
      for (const id of [mine, theirs])
        streams.open({ job: running({ id }), lastEventId: undefined } as never);
      await waitFor(() => frames.length === 2, { what: 'both to be greeted' });
      mock.timers.tick(15_000);
      await waitFor(() => ends.length > 0, { what: 'the end of one' });
      expect(ends).to.deep.equal(['complete']);
      expect(frames).to.deep.equal(['hello', 'hello', 'job.completed']);
      streams.close();
    } finally {
      mock.timers.reset();
    }
  });

  it('look no more once the process ends', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      const { streams, polls } = openStreams(() => Promise.resolve([]));
      streams.open({ job: running(), lastEventId: undefined } as never);
      mock.timers.tick(15_000);
      expect(polls).to.have.length(1);
      streams.close();
      mock.timers.tick(60_000);
      expect(polls).to.have.length(1);
    } finally {
      mock.timers.reset();
    }
  });

  it('end, and say so in the log, where the events cannot be read', async () => {
    const { streams, ends, lines } = openStreams(() => Promise.reject(new Error('Redis is away')));
    streams.open({ job: running(), lastEventId: undefined } as never);
    await waitFor(() => ends.length > 0, { what: 'the end' });
    expect(ends).to.deep.equal(['fault']);
    expect(lines[0]).to.deep.include({ level: 'warn', fields: { job: mine, reason: 'Redis is away' } });
    streams.close();
  });

  it('leave a place free on a WebSocket for each that cannot be read, or has ended, and name the job', async () => {
    const { streams, problems, topic } = openStreams(() => Promise.reject(new Error('Redis is away')));
    const session = topic();
    const follow = async (ids: readonly string[]): Promise<number> => {
      const plan = session.plan(ids, {});
      await plan.admit?.();
      plan.begin();
      return plan.fresh;
    };
    expect(await follow([mine, theirs])).to.equal(2);
    expect(session.size).to.equal(2);
    await waitFor(() => problems.length === 2, { what: 'the problems' });
    expect(session.size).to.equal(0);
    expect(problems[0]).to.include(mine).and.include('The events of the job cannot be read');
    expect(await follow([mine]), 'as if it were new').to.equal(1);
    streams.close();
  });

  it('count a job that a WebSocket follows already once', async () => {
    const { streams, topic } = openStreams(() => Promise.resolve([]));
    const session = topic();
    for (let n = 0; n < 2; n++) {
      const plan = session.plan([mine], {});
      await plan.admit?.();
      plan.begin();
      expect(plan.fresh).to.equal(n === 0 ? 1 : 0);
    }
    expect(session.size).to.equal(1);
    session.stop([mine], {});
    expect(session.size).to.equal(0);
    streams.close();
  });
});
