/** How state transitions are stored: in their order, each once, whatever the database says. */
import { expect } from 'chai';
import { UnavailableError } from '../../../src/domain/errors.ts';
import type {
  AlertTransition,
  StoredTransitions,
} from '../../../src/features/alerts/queries/alert-transitions.ts';
import { AlertTransitionWriter } from '../../../src/features/alerts/alert-transition-writer.ts';
import { Subject, type StartedTransition } from '../../../src/features/alerts/subject.ts';
import { recordingLogger, type LoggedLine } from '../../support/recording-logger.ts';
import { waitFor } from '../../support/wait-for.ts';
import { sampleAlert, sampleObservation } from './sample-alert.ts';

describe('the store of state transitions', () => {
  let batches: string[][];
  let settled: [id: string, version: number | undefined, isStored: boolean][];
  let order: string[];
  let lines: LoggedLine[];
  let moves: AlertTransition[];
  /** What the database says of a batch; everything moves when it returns nothing. */
  let verdict: (ids: readonly string[]) => Error | readonly string[] | undefined;
  let byIds: (
    ids: readonly string[],
  ) => Promise<{ alert: ReturnType<typeof sampleAlert>; isDeleted: boolean }[]>;
  let transitions: AlertTransitionWriter;

  beforeEach(() => {
    [batches, settled, order, moves] = [[], [], [], []];
    verdict = () => undefined;
    byIds = () => Promise.resolve([]);
    const logger = recordingLogger();
    lines = logger.lines;
    transitions = new AlertTransitionWriter({
      transitionQueries: {
        transition: async (batch): Promise<StoredTransitions> => {
          await Promise.resolve();
          const ids = batch.map(({ id }) => id);
          batches.push(ids);
          moves.push(...batch);
          const answer = verdict(ids);
          if (answer instanceof Error) throw answer;
          const moved = answer ?? ids;
          const alerts = moved.map((id) => sampleAlert({ id, version: 2, state: 'fired' }));
          return { alerts, firedUserIds: [], deliveryIds: moved };
        },
      },
      watch: { byIds: (ids) => byIds(ids) },
      onSettled: ({ alert: { id } }, found, isStored) => {
        order.push(`settled ${id}`);
        settled.push([id, found?.alert.version, isStored]);
      },
      onStored: ({ deliveryIds }) => Promise.resolve(void order.push(`told ${deliveryIds.join()}`)),
      log: logger.log,
    });
  });
  afterEach(() => transitions.close());

  function started(
    id: string,
    different: Partial<Parameters<typeof sampleAlert>[0]> = {},
  ): StartedTransition {
    const alert = sampleAlert({ id, ...different });
    return {
      subject: new Subject(alert),
      alert,
      transition: 'fired',
      observation: sampleObservation('101', 7_000),
    };
  }
  const all = (count: number) =>
    waitFor(() => settled.length >= count, { what: `${count} transitions to be stored` });

  it('takes a hundred at a time, in their order', async () => {
    const ids = Array.from({ length: 250 }, (_, n) => `a${n}`);
    transitions.add(ids.map((id) => started(id)));
    await all(250);
    expect(batches.map(({ length }) => length)).to.deep.equal([100, 100, 50]);
    expect(batches.flat()).to.deep.equal(ids);
    expect(transitions.size).to.equal(0);
  });

  it('names the version and the value, and describes the alert as it is after the firing', async () => {
    transitions.add([started('a', { version: 4, note: 'sell', url: 'https://hooks.example.com/' })]);
    await all(1);
    const [{ describe: describeIt, ...move } = {} as AlertTransition] = moves;
    expect(move).to.deep.include({ id: 'a', version: 4, to: 'fired', value: '101' });
    const at = new Date(8_000);
    const fired = sampleAlert({
      state: 'fired',
      firedCount: 3,
      note: 'sell',
      url: 'https://hooks.example.com/',
    });
    const event = describeIt(fired, { id: 'f', at });
    expect(event).to.deep.include({ id: 'f', at, value: '101', threshold: '100' });
    expect(event)
      .to.have.property('quote')
      .that.deep.equals({ as_of: null, received_at: new Date(7_000), source: 'simulated', state: 'fresh' });
    expect(event).to.have.property('alert').that.includes({ state: 'fired', fired_count: 3, note: 'sell' });
    expect(event).to.not.have.nested.property('alert.url');
    expect(event).to.not.have.property('reference');
  });

  it('has webhooks requested before the alerts go on', async () => {
    transitions.add([started('a'), started('b')]);
    await all(2);
    expect(order).to.deep.equal(['told a,b', 'settled a', 'settled b']);
  });

  it('reads those that somebody else has changed, and tells of those that are gone', async () => {
    verdict = () => ['a'];
    byIds = (ids) => {
      expect(ids).to.deep.equal(['b', 'c']);
      return Promise.resolve([{ alert: sampleAlert({ id: 'b', version: 9 }), isDeleted: false }]);
    };
    transitions.add(['a', 'b', 'c'].map((id) => started(id)));
    await all(3);
    expect(settled).to.deep.equal([
      ['a', 2, true],
      ['b', 9, false],
      ['c', undefined, false],
    ]);
  });

  it('lets those go that cannot be read, and goes on with the next', async () => {
    verdict = () => [];
    byIds = () => Promise.reject(new Error('Postgres is away'));
    transitions.add([started('a')]);
    await all(1);
    verdict = () => undefined;
    transitions.add([started('b')]);
    await all(2);
    expect(settled).to.deep.equal([
      ['a', undefined, false],
      ['b', 2, true],
    ]);
  });

  it('keeps those that wait while Postgres is away, and says so', async () => {
    let failures = 1;
    verdict = () => (failures-- > 0 ? new UnavailableError('Database unavailable') : undefined);
    transitions.add([started('a'), started('b')]);
    await waitFor(() => lines.length > 0, { what: 'the warning' });
    expect(lines[0]).to.deep.include({ level: 'warn', fields: { reason: 'Database unavailable', moves: 2 } });
    expect([settled, transitions.size]).to.deep.equal([[], 2]);
    await all(2);
    expect(batches).to.deep.equal([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  it('stores the others without one that the database refuses, and says which', async () => {
    verdict = (ids) => (ids.includes('bad') ? new Error('violates a rule') : undefined);
    transitions.add(['a', 'bad', 'b'].map((id) => started(id)));
    await all(3);
    expect(settled).to.deep.equal([
      ['a', 2, true],
      ['bad', 1, true],
      ['b', 2, true],
    ]);
    expect(lines.map(({ level, fields }) => [level, fields['alert']])).to.deep.equal([['error', 'bad']]);
    expect(transitions.size).to.equal(0);
  });

  it('stores none twice when Postgres goes away in the middle of that', async () => {
    let isAway = false;
    verdict = (ids) => {
      if (ids.length > 1) return new Error('violates a rule');
      if (ids[0] === 'b' && !isAway) {
        isAway = true;
        return new UnavailableError('Database unavailable');
      }
      return undefined;
    };
    transitions.add(['a', 'b', 'c'].map((id) => started(id)));
    await all(3);
    expect(settled.map(([id]) => id)).to.deep.equal(['a', 'b', 'c']);
    expect(batches.filter((ids) => ids.join() === 'a')).to.have.length(1);
  });

  it('stores what waits before it ends, and does not end late while Postgres is away', async () => {
    transitions.add(Array.from({ length: 150 }, (_, n) => started(`a${n}`)));
    await transitions.close();
    expect(settled).to.have.length(150);
  });
});
