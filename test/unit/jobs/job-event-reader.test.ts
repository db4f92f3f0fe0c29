/** The one reader of job events of a process: how it goes on while Redis is away, and that it ends with its listeners. */
import type { Redis } from 'ioredis';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import type { JobEventEntry } from '../../../src/features/jobs/job-events.ts';
import { createJobEventReader, type JobEventReader } from '../../../src/features/jobs/job-event-reader.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { waitFor } from '../../support/wait-for.ts';

type Reply = [stream: string, entries: [id: string, fields: string[]][]][] | null;

describe('the reader of job events', () => {
  let reads: string[];
  let answer: (position: string) => Promise<Reply>;
  let newest: () => Promise<unknown[]>;
  let disconnects: number;
  let reader: JobEventReader;

  beforeEach(() => {
    reads = [];
    disconnects = 0;
    newest = () => Promise.resolve([['5-0', []]]);
    const redis = {
      xrevrange: () => newest(),
      xread: (...args: readonly unknown[]) => {
        const position = String(args.at(-1));
        reads.push(position);
        return answer(position);
      },
      disconnect: () => {
        disconnects++;
      },
    };
    const blocking = redis as unknown as Redis;
    const keys = { streamKey: 'events', epochKey: 'epoch' };
    reader = createJobEventReader({ blocking, redis: blocking, ...keys, log: silentLogger() });
  });

  afterEach(() => reader.close());

  const failing = async (): Promise<never> => {
    await turn();
    throw new Error('Connection is closed.');
  };
  const manyTurns = async (): Promise<void> => {
    for (let n = 0; n < 200; n++) await turn();
  };

  it('pauses after a read that failed, and goes on where it was', async () => {
    answer = failing;
    const heard: JobEventEntry[] = [];
    await reader.subscribe(['job:1'], (entry) => heard.push(entry)).ready;
    await manyTurns();
    expect(reads.length).to.be.within(1, 20);

    answer = async (position) => {
      await turn();
      return position === '5-0' ? [['events', [['6-0', ['s', 'job:1', 'e', '[]']]]]] : null;
    };
    await waitFor(() => heard.length, { what: 'the entry that came meanwhile' });
    expect(heard.map(({ id }) => id)).to.deep.equal(['6-0']);
    expect(new Set(reads)).to.include('5-0');
  });

  it('pauses too while it cannot find the newest event', async () => {
    let questions = 0;
    newest = () => {
      questions++;
      return failing();
    };
    answer = () => new Promise(() => undefined);
    const { ready } = reader.subscribe(['job:1'], () => undefined);
    await manyTurns();
    expect(questions).to.be.within(1, 20);

    newest = () => Promise.resolve([]);
    await ready;
    await waitFor(() => reads.length, { what: 'the first read' });
    expect(reads).to.deep.equal(['0-0']);
  });

  it('delivers each entry once, in order, however many one read brings', async () => {
    const entries = ['6-0', '7-0', '8-0'].map((id): [string, string[]] => [id, ['s', 'job:1', 'e', '[]']]);
    answer = async (position) => {
      await turn();
      const later = entries.filter(([id]) => id > position).slice(0, 2);
      return later.length === 0 ? null : [['events', later]];
    };
    const heard: string[] = [];
    await reader.subscribe(['job:1'], ({ id }) => heard.push(id)).ready;
    await waitFor(() => heard.includes('8-0'), { what: 'the last entry' });
    await manyTurns();
    expect(heard).to.deep.equal(['6-0', '7-0', '8-0']);
  });

  it('reads again, from the newest event on, for those who come after all have gone', async () => {
    answer = async () => {
      await turn();
      return null;
    };
    const first = reader.subscribe(['job:1'], () => undefined);
    await first.ready;
    first.close();
    await manyTurns();
    reads = [];
    newest = () => Promise.resolve([['9-0', []]]);
    await reader.subscribe(['job:2'], () => undefined).ready;
    await waitFor(() => reads.length, { what: 'another read' });
    expect(reads[0]).to.equal('9-0');
  });

  it('takes its connection from a read that waits when it is closed', async () => {
    answer = () => new Promise(() => undefined);
    await reader.subscribe(['job:1'], () => undefined).ready;
    await reader.close();
    expect(disconnects).to.equal(1);
  });

  it('names the history as another process has just named it', async () => {
    const stored = new Map<string, string>();
    const redis = {
      get: (key: string) => Promise.resolve(stored.get(key) ?? null),
      set: (key: string, value: string, ...options: string[]) => {
        // Another process was a moment earlier.
        if (!stored.has(key)) stored.set(key, 'the first');
        if (!options.includes('NX')) stored.set(key, value);
        return Promise.resolve(null);
      },
      disconnect: () => undefined,
    } as unknown as Redis;
    const place = { streamKey: 'events', epochKey: 'epoch' };
    const other = createJobEventReader({ blocking: redis, redis, ...place, log: silentLogger() });
    expect([await other.epoch(), await other.epoch()]).to.deep.equal(['the first', 'the first']);
    expect([...stored]).to.deep.equal([['epoch', 'the first']]);
  });

  it('knows the oldest event that is kept', async () => {
    const redis = {
      xrange: (...[, from, to, , count]: [string, string, string, string, number]) =>
        Promise.resolve(from === '-' && to === '+' && count === 1 ? [['3-0', []]] : []),
    } as unknown as Redis;
    const place = { streamKey: 'events', epochKey: 'epoch' };
    const other = createJobEventReader({ blocking: redis, redis, ...place, log: silentLogger() });
    expect(await other.oldestId()).to.equal('3-0');
  });

  it('reads no further when the last of its listeners has gone', async () => {
    answer = async () => {
      await turn();
      return null;
    };
    const one = reader.subscribe(['work:a', 'job:1'], () => undefined);
    const other = reader.subscribe(['work:a', 'job:2'], () => undefined);
    await one.ready;
    one.close();
    await waitFor(() => reads.length > 3, { what: 'reads for the other' });
    other.close();
    await manyTurns();
    const { length } = reads;
    await manyTurns();
    expect(reads).to.have.length(length);
  });
});
