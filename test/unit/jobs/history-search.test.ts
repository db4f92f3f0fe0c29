/** One pass over the stream of job events serves everybody, over a stand-in that counts what is read. */
import { expect } from 'chai';
import { setImmediate as turn } from 'node:timers/promises';
import { HistorySearch } from '../../../src/features/jobs/history-search.ts';
import { waitFor } from '../../support/wait-for.ts';

type Raw = [string, string[]];

/** `entries` of subjects `s0` to `s9` in turn, with the ids `1-0`, `2-0`, …, in a Redis whose answers a test can hold. */
class StandInStream {
  readonly reads: { readonly from: string; readonly to: string }[] = [];
  maxAtOnce = 0;
  isDown = false;
  /** Called with the number of reads so far. */
  onRead: (reads: number) => void = () => undefined;
  hold: Promise<void> = Promise.resolve();
  #atOnce = 0;
  readonly #entries: Raw[];

  constructor(entries: number) {
    this.#entries = Array.from({ length: entries }, (_, n) => [`${n + 1}-0`, ['s', `s${n % 10}`, 'e', '[]']]);
  }

  xrange = async (...[, from, to, , count]: [string, string, string, string, number]): Promise<Raw[]> => {
    this.reads.push({ from, to });
    this.onRead(this.reads.length);
    this.maxAtOnce = Math.max(this.maxAtOnce, (this.#atOnce += 1));
    await this.hold;
    await turn();
    this.#atOnce -= 1;
    if (this.isDown) throw new Error('down');
    const first = Number.parseInt(from.replace('(', ''), 10) + (from.startsWith('(') ? 1 : 0);
    const last = to === '+' ? Infinity : Number.parseInt(to, 10);
    const wanted = this.#entries.filter(
      ([id]) => Number.parseInt(id, 10) >= first && Number.parseInt(id, 10) <= last,
    );
    return wanted.slice(0, count);
  };
}

describe('the search for missed job events', () => {
  let stream: StandInStream;
  let search: HistorySearch;

  const open = (entries: number): void => {
    stream = new StandInStream(entries);
    search = new HistorySearch({ redis: stream as never, streamKey: 'jobs' });
  };
  const find = (subject: string, more: { from?: string; to?: string; isWanted?: () => boolean } = {}) =>
    search.find({ subjects: [subject], from: '0', to: '+', ...more });
  const numbers = (found: readonly { id: string }[]): number[] =>
    found.map(({ id }) => Number.parseInt(id, 10));

  it('reads as much for the hundred jobs of a message as for one', async () => {
    open(1_200);
    const found = await Promise.all(Array.from({ length: 100 }, (_, n) => find(`s${n % 10}`)));
    expect(stream.reads).to.have.length(3);
    for (const [n, entries] of found.entries()) {
      expect(entries).to.have.length(120);
      expect(new Set(entries.map(({ subject }) => subject))).to.deep.equal(new Set([`s${n % 10}`]));
    }
  });

  it('gives what lies between two ids, both included', async () => {
    open(1_200);
    const all = Array.from({ length: 120 }, (_, n) => n * 10 + 1);
    const [some, one, none] = await Promise.all([
      find('s0', { from: '501-0', to: '521' }),
      find('s0', { from: '1191' }),
      find('nobody'),
    ]);
    expect(numbers(some)).to.deep.equal([501, 511, 521]);
    expect(numbers(one)).to.deep.equal([1_191]);
    expect(none).to.deep.equal([]);
    expect(numbers(await find('s0'))).to.deep.equal(all);
  });

  it('never reads twice at a time, and reads no further when nobody wants more', async () => {
    open(20_000);
    let isOpen = true;
    const gone = Array.from({ length: 50 }, (_, n) => find(`s${n % 10}`, { isWanted: () => isOpen }));
    stream.onRead = (reads) => (isOpen &&= reads < 2);
    expect(await Promise.all(gone)).to.deep.equal(gone.map(() => []));
    expect(stream.reads).to.have.length(2);
    for (let loop = 0; loop < 20; loop++) {
      let isWanted = true;
      const aborted = find('s1', { isWanted: () => isWanted });
      isWanted = false;
      expect(await aborted).to.deep.equal([]);
    }
    expect([stream.reads.length, stream.maxAtOnce]).to.deep.equal([2, 1]);
  });

  it('takes those in who come while it goes, and turns back for those who want what lies behind', async () => {
    open(2_000);
    let letGo = (): void => undefined;
    stream.hold = new Promise((resolve) => (letGo = resolve));
    const first = find('s0');
    await waitFor(() => stream.reads.length === 1, { what: 'the first page' });
    const [ahead, behind] = [find('s5', { from: '900' }), find('s5', { from: '400' })];
    // The last entry of the page that is under way.
    const justMissed = find('s9', { from: '500-0' });
    letGo();
    expect(numbers(await ahead)[0]).to.equal(906);
    expect(await first).to.have.length(200);
    // Four pages and an empty one serve both.
    expect(stream.reads.filter(({ from }) => from.startsWith('(') || from === '0').length).to.be.at.least(5);
    expect(numbers(await behind)[0]).to.equal(406);
    expect(numbers(await justMissed)[0]).to.equal(500);
    expect(stream.reads.filter(({ from }) => !from.startsWith('('))).to.deep.equal([
      { from: '0', to: '+' },
      { from: '400', to: '+' },
    ]);
  });

  it('fails for those who wait when Redis does, and not for those who come later', async () => {
    open(600);
    stream.isDown = true;
    const failed = await Promise.allSettled([find('s0'), find('s1')]);
    expect(failed.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    stream.isDown = false;
    expect(await find('s0')).to.have.length(60);
  });
});
