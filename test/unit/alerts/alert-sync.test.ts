/** How a process keeps its view of the alerts: what it reads, when, and what it does while it cannot. */
import { expect } from 'chai';
import type { Alert } from '../../../src/features/alerts/alert.ts';
import type { AlertChannel } from '../../../src/features/alerts/alert-channel.ts';
import { AlertSync } from '../../../src/features/alerts/alert-sync.ts';
import type {
  AlertWatchQueries,
  ChangeCursor,
  FoundAlert,
} from '../../../src/features/alerts/queries/alert-watch.ts';
import { recordingLogger, type LoggedLine } from '../../support/recording-logger.ts';
import { waitFor } from '../../support/wait-for.ts';
import { sampleAlert } from './sample-alert.ts';

describe('the view of the alerts', () => {
  let listener: Parameters<AlertChannel['listen']>[0] | undefined;
  let lines: LoggedLine[];
  let found: string[];
  let reads: number;
  /** Where each look for changes began, and which ids were looked up. */
  let begins: ChangeCursor[];
  let lookedUp: (readonly string[])[];
  let watched: (after: string, limit: number) => readonly Alert[];
  let changed: (cursor: ChangeCursor, limit: number) => Awaited<ReturnType<AlertWatchQueries['changed']>>;
  let clock: number;
  let isAway: boolean;
  let sync: AlertSync;

  beforeEach(() => {
    [found, reads, begins, lookedUp, clock, isAway] = [[], 0, [], [], 0, false];
    watched = () => [];
    changed = () => ({ found: [], next: undefined });
  });
  afterEach(() => sync.close());

  const asFound = (id: string): FoundAlert => ({ alert: sampleAlert({ id }), isDeleted: false });

  async function start(): Promise<void> {
    const answer = <T>(result: () => T): Promise<T> =>
      isAway ? Promise.reject(new Error('Postgres is away')) : Promise.resolve(result());
    const watch = {
      now: () => answer(() => ({ at: `t${++clock}`, id: '' })),
      watched: (after: string, limit: number) => answer(() => watched(after, limit)),
      changed: (cursor: ChangeCursor, limit: number) =>
        answer(() => {
          begins.push(cursor);
          return changed(cursor, limit);
        }),
      byIds: (ids: readonly string[]) =>
        answer(() => {
          lookedUp.push(ids);
          return ids.map(asFound);
        }),
    } as unknown as AlertWatchQueries;
    const logger = recordingLogger();
    lines = logger.lines;
    sync = new AlertSync({
      watch,
      channel: {
        listen: (each) => {
          listener = each;
          return () => (listener = undefined);
        },
      },
      onFound: ({ alert }) => found.push(alert.id),
      onRead: () => {
        reads++;
      },
      log: logger.log,
      pollIntervalMs: 3_600_000,
    });
    if (!isAway) await waitFor(() => reads > 0, { what: 'the alerts to be read' });
  }
  async function gap(): Promise<void> {
    const before = reads;
    listener?.onGap?.();
    await waitFor(() => reads > before, { what: 'another look' });
  }

  it('begins with all alerts, page by page', async () => {
    const all = Array.from({ length: 4_500 }, (_, n) => String(n).padStart(5, '0'));
    watched = (after, limit) =>
      all
        .filter((id) => id > after)
        .slice(0, limit)
        .map((id) => sampleAlert({ id }));
    await start();
    expect(sync.isLoaded).to.equal(true);
    expect(found).to.deep.equal(all);
  });

  it('goes on after a gap with all that has changed since the look before it began', async () => {
    await start();
    changed = ({ at, id }) => ({
      found: [asFound(`${at}/${id}`)],
      next: id === '2' ? undefined : { at, id: id === '' ? '1' : '2' },
    });
    await gap();
    expect(found).to.deep.equal(['t1/', 't1/1', 't1/2']);
    begins = [];
    changed = () => ({ found: [], next: undefined });
    await gap();
    expect(begins).to.deep.equal([{ at: 't2', id: '' }]);
  });

  it('reads those that it is told of, each once, and looks for no others', async () => {
    await start();
    const before = reads;
    listener?.onChanged?.(['a', 'b']);
    listener?.onChanged?.(['b', 'c']);
    await waitFor(() => reads > before, { what: 'them to be read' });
    expect(lookedUp).to.deep.equal([['a', 'b', 'c']]);
    expect(found).to.deep.equal(['a', 'b', 'c']);
    expect(begins).to.deep.equal([]);
    listener?.onChanged?.(['d']);
    await waitFor(() => found.length > 3, { what: 'the next' });
    expect(lookedUp.slice(1)).to.deep.equal([['d']]);
  });

  it('remembers a bounded number of those that it is told of, and reads them in parts', async () => {
    await start();
    listener?.onChanged?.(Array.from({ length: 12_000 }, (_, n) => `a${n}`));
    await waitFor(() => found.length >= 10_000, { what: 'them to be read' });
    expect(found).to.have.length(10_000);
    expect(lookedUp.map(({ length }) => length)).to.deep.equal(Array.from({ length: 20 }, () => 500));
  });

  it('says once that alerts cannot be read, and looks for changes when it is over', async () => {
    await start();
    isAway = true;
    listener?.onChanged?.(['lost']);
    await waitFor(() => lines.length > 0, { what: 'the warning' });
    isAway = false;
    listener?.onChanged?.(['another']);
    await waitFor(() => begins.length > 0, { what: 'the look for changes' });
    expect(lines.map(({ level, fields }) => [level, fields['reason']])).to.deep.equal([
      ['warn', 'Postgres is away'],
    ]);
  });

  it('is not there before all alerts were read', async () => {
    isAway = true;
    await start();
    await waitFor(() => lines.length > 0, { what: 'the warning' });
    listener?.onGap?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect([sync.isLoaded, reads, lines.length]).to.deep.equal([false, 0, 1]);
  });

  it('listens to nothing and reads nothing once it is closed', async () => {
    await start();
    await sync.close();
    expect(listener).to.equal(undefined);
    expect(reads).to.be.at.most(2);
  });
});
