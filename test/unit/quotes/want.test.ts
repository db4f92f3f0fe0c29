import { expect } from 'chai';
import { createWant, type WantRequest } from '../../../src/features/quotes/demand/demand.ts';

const now = 1_800_000_000_000;
const freshMs = 60_000;

describe('wanting quotes', () => {
  let wanted: WantRequest[];
  let queued: string[];
  beforeEach(() => ([wanted, queued] = [[], []]));
  const wantWith = (settled: readonly string[]) =>
    createWant({
      demand: {
        want(request) {
          wanted.push(request);
          return Promise.resolve({ settled, refused: 0 });
        },
      },
      enqueue: { quotes: (currency, urgency) => Promise.resolve(void queued.push(`${currency} ${urgency}`)) },
      clock: { now: () => now },
      freshMs,
    });
  const request = { currency: 'eur', assetIds: ['a', 'b'], urgency: 'backfill' } as const;

  it('queues a refresh at its urgency, and says how many assets are open', async () => {
    expect(await wantWith(['a'])(request)).to.equal(1);
    expect(queued).to.deep.equal(['eur backfill']);
  });

  it('queues nothing when all are settled', async () => {
    expect(await wantWith(['a', 'b'])(request)).to.equal(0);
    expect(queued).to.deep.equal([]);
  });

  it('takes quotes for as long as they are fresh, unless it is told otherwise', async () => {
    await wantWith([])(request);
    await wantWith([])({ ...request, freshAfter: now - 1 });
    expect(wanted.map(({ freshAfter }) => freshAfter)).to.deep.equal([now - freshMs, now - 1]);
  });

  it('has what nobody waits for fetched by a call that can be spread', async () => {
    await wantWith([])({ ...request, urgency: 'interactive', isPatient: true });
    expect(queued).to.deep.equal(['eur stream']);
    expect(wanted[0]).to.include({ urgency: 'interactive', isPatient: true });
  });
});
