/** What goes between storage and ledgers as text, and which marks are worth storing. */
import { expect } from 'chai';
import fc from 'fast-check';
import { amountOf, formatAmount, oneUnit } from '../../../src/features/portfolios/ledger/amount.ts';
import { dayStart } from '../../../src/features/portfolios/ledger/days.ts';
import { dayNumber, daysOf } from '../../../src/features/portfolios/ledger/days.ts';
import { checkpointsToKeep } from '../../../src/features/portfolios/ledger/checkpoint.ts';
import { costBasisMethods } from '../../../src/domain/bookkeeping.ts';
import { keptAs, lotsOfCheckpoint, replayAsset } from '../../../src/features/portfolios/ledger/replay.ts';

describe('stored amounts', () => {
  it('are read back whatever they are', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 45n), max: 10n ** 45n }), (amount) => {
        expect(amountOf(formatAmount(amount))).to.equal(amount);
      }),
    );
    expect(amountOf('-0.500000000000000000')).to.equal(-oneUnit / 2n);
    expect(() => amountOf('0.1234567890123456789')).to.throw(RangeError);
    expect(() => amountOf('1e5')).to.throw(SyntaxError);
  });
});

describe('a replay', () => {
  const line = (at: number, kind: string, [quantity, value]: [string, string]): string =>
    `${at} ${kind === 'acquire' ? 1 : 4} 0 00000000-0000-7000-8000-00000000000${at} 0 ${kind} ${quantity} ${value}`;
  const how = { asset: 'bitcoin', method: 'fifo', timeZone: 'UTC' } as const;
  const first = [line(1, 'acquire', ['2.000000000000000000', '10.000000000000000000'])];
  const second = [line(2, 'dispose', ['0.500000000000000000', '4.000000000000000000'])];

  it('goes on from a mark as from the beginning, in however many pieces it comes', () => {
    const whole = replayAsset({ ...how, checkpoint: null, postings: [[...first, ...second].join('\n')] });
    const before = replayAsset({ ...how, checkpoint: null, postings: first });
    const checkpoint = before.checkpoints.at(-1)!;
    expect(replayAsset({ ...how, checkpoint: checkpoint.state, postings: second }).position).to.deep.equal(
      whole.position,
    );
    expect(replayAsset({ ...how, checkpoint: null, postings: [...first, ...second] })).to.deep.equal(whole);
    expect(whole.position).to.include({ count: 2, quantity: '1.5', consumed: '2.5', proceeds: '4' });
    expect(whole.blocks[0]!.columns.split('\n').slice(0, 4)).to.deep.equal([
      '{disposal}',
      '{00000000-0000-7000-8000-000000000002}',
      '{false}',
      '{1970-01-01T00:00:00.002Z}',
    ]);
  });

  for (const method of costBasisMethods) {
    it(`by ${method} goes on from any mark, and lots stay in the order of their acquisition`, () => {
      const kept = { ...how, method };
      // At one price, so that nothing but their order tells lots apart.
      const unit: [string, string] = ['1.000000000000000000', '10.000000000000000000'];
      const postings = [
        ...[1, 2, 3, 4].map((at) => line(at, 'acquire', unit)),
        line(5, 'dispose', ['1.500000000000000000', '30.000000000000000000']),
        ...[6, 7].map((at) => line(at, 'acquire', unit)),
        line(8, 'dispose', ['3.000000000000000000', '60.000000000000000000']),
      ];
      const whole = replayAsset({ ...kept, checkpoint: null, postings });
      const endOf = ({ checkpoints }: typeof whole) => lotsOfCheckpoint(checkpoints.at(-1)!.state, kept);
      const rowsOf = ({ blocks }: typeof whole): string[][] => {
        const columns = blocks.map((block) =>
          block.columns.split('\n').map((each) => each.slice(1, -1).split(',')),
        );
        const [first] = columns;
        return (first?.[0] ?? []).map((_, row) => columns[0]!.map((column) => column[row]!));
      };
      for (let cut = 1; cut < postings.length; cut += 1) {
        const before = replayAsset({ ...kept, checkpoint: null, postings: postings.slice(0, cut) });
        const checkpoint = before.checkpoints.at(-1)!;
        const after = replayAsset({ ...kept, checkpoint: checkpoint.state, postings: postings.slice(cut) });
        expect(endOf(after), `lots, cut at ${cut}`).to.deep.equal(endOf(whole));
        expect(after.position, `position, cut at ${cut}`).to.deep.equal(whole.position);
        expect(after.firstLotMatch).to.equal(checkpoint.settled);
        expect(rowsOf(after), `rows, cut at ${cut}`).to.deep.equal(rowsOf(whole).slice(checkpoint.settled));
      }
    });
  }

  it('says which consumptions later purchases may still change: by uk_pool those of the last thirty days', () => {
    const dayMs = 86_400_000;
    const on = (day: number, kind: string, of: [string, string]): string =>
      line(day, kind, of).replace(/^\d+/, String(day * dayMs));
    const sold: [string, string] = ['1.000000000000000000', '3.000000000000000000'];
    const postings = [
      on(1, 'acquire', ['9.000000000000000000', '9.000000000000000000']),
      ...[2, 3, 4].map((day) => on(day, 'dispose', sold)),
    ];
    const flags = (method: 'uk_pool' | 'average', ...more: string[]): string => {
      const all = [postings.join('\n'), ...more];
      return replayAsset({ ...how, method, checkpoint: null, postings: all })
        .blocks[0]!.columns.split('\n')
        .at(-1)!;
    };
    expect(flags('uk_pool')).to.equal('{true,true,true}');
    expect(flags('average')).to.equal('{false,false,false}');
    // More than thirty days after the first sale, and not after the second one.
    const later = on(5, 'dispose', sold).replace(/^\d+/, String(33 * dayMs));
    expect(flags('uk_pool', later)).to.equal('{false,true,true,true}');
  });

  it('refuses a mark of another way of keeping books, and days are part of the way where they matter', () => {
    const checkpoint = replayAsset({ ...how, checkpoint: null, postings: first }).checkpoints.at(-1)!;
    expect(() =>
      replayAsset({ ...how, method: 'lifo', checkpoint: checkpoint.state, postings: second }),
    ).to.throw();
    const zones = (method: 'fifo' | 'uk_pool') =>
      new Set(['UTC', 'Asia/Tokyo'].map((timeZone) => keptAs({ method, timeZone }))).size;
    expect([zones('fifo'), zones('uk_pool')]).to.deep.equal([1, 2]);
  });
});

describe('marks to keep', () => {
  it('lie no closer than 256 postings, and large ones farther apart; the last one always stays', () => {
    expect(checkpointsToKeep([])).to.deep.equal([]);
    const small = [100, 256, 300, 512, 600].map((count) => ({ count, size: 50 }));
    expect(checkpointsToKeep(small)).to.deep.equal([256, 512, 600]);
    const large = [256, 512, 768, 1_024, 1_100].map((count) => ({ count, size: 100_000 }));
    expect(checkpointsToKeep(large)).to.deep.equal([512, 1_024, 1_100]);
  });

  it('are few, and leave no change more to replay than about twice what follows it', () => {
    let checkpoints: { count: number; size: number }[] = [];
    for (let count = 64; count <= 64_000; count += 64) {
      const kept = new Set(checkpointsToKeep([...checkpoints, { count, size: 50 }]));
      checkpoints = [...checkpoints, { count, size: 50 }].filter((checkpoint) => kept.has(checkpoint.count));
      expect(checkpoints.length).to.be.at.most(16);
      for (const behind of [1, 256, count / 8, count / 2]) {
        const from = checkpoints.findLast((checkpoint) => checkpoint.count <= count - behind)?.count ?? 0;
        expect(count - from).to.be.at.most(2 * behind + 1_024);
      }
    }
  });
});

describe('the begin of a day', () => {
  it('is the first moment that is told to be of it', () => {
    for (const zone of [
      'UTC',
      'America/New_York',
      'Asia/Kathmandu',
      'Pacific/Kiritimati',
      'Pacific/Pago_Pago',
    ]) {
      const dayOf = daysOf(zone);
      // Clocks were put forward and back in New York.
      for (const text of ['2024-03-10', '2024-03-11', '2024-11-03', '2024-11-04', '1999-12-31']) {
        const begin = dayStart(dayOf, dayNumber(text));
        expect([dayOf(begin), dayOf(begin - 1)], `${zone} ${text}`).to.deep.equal([
          dayNumber(text),
          dayNumber(text) - 1,
        ]);
      }
    }
    expect(dayStart(daysOf('America/New_York'), dayNumber('2024-01-01'))).to.equal(
      Date.parse('2024-01-01T05:00:00Z'),
    );
  });
});
