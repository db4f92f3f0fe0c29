/** Joining in the middle of a storm: a snapshot first, then nothing older, and the newest in the end. */
import { expect } from 'chai';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readSse, type SseReader } from '../../e2e/support/sse-reader.ts';
import { startStreamHost, type StreamHost } from '../../e2e/support/stream-host.ts';

const coins = Array.from({ length: 20 }, (_, index) => `coin-${index}`);
const waves = 25;
const joinsInWave = 20;
/** Of each wave; the others leave when they have seen some updates. */
const stayInWave = 2;

describe('snapshots of price streams', () => {
  let host: StreamHost;
  let prices = 0;

  before(async () => {
    host = await startStreamHost();
  });
  after(() => host.close());

  const publish = (): Promise<void> => {
    prices += 1;
    return host.feed.publish(Object.fromEntries(coins.map((coin) => [coin, prices])));
  };

  /** Twenty coins, fifty times a second. */
  async function storm(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const next = Date.now() + 20;
      await publish();
      await sleep(Math.max(0, next - Date.now()));
    }
  }

  async function join(stays: boolean): Promise<SseReader> {
    const reader: SseReader = await readSse(host.pricesUrl(coins), {
      onEvent: () => {
        if (!stays && reader.dataOf('price').length >= 4) reader.cut();
      },
    });
    return reader;
  }

  const seqOf = (id: string | undefined): number => Number(/^host\.(\d+)$/.exec(id ?? '')?.[1]);

  function expectInOrder(reader: SseReader): void {
    const [hello, snapshot, ...updates] = reader.events.filter(({ event }) => event !== 'heartbeat');
    expect(hello?.event).to.equal('hello');
    expect(snapshot?.event).to.equal('price');
    expect(snapshot?.data.map(({ id }: { id: string }) => id)).to.deep.equal(coins);
    expect(seqOf(snapshot?.id)).to.equal(hello?.data.seq);
    const newest = new Map<string, number>();
    let seq = hello?.data.seq as number;
    for (const { id, data } of [snapshot!, ...updates]) {
      expect(seqOf(id)).to.be.at.least(seq);
      seq = seqOf(id);
      for (const quote of data) {
        expect(quote.state).to.equal('fresh');
        expect(quote.price).to.be.at.least(newest.get(quote.id) ?? 0);
        newest.set(quote.id, quote.price);
      }
    }
  }

  it('come first in each of 500 joins under 1,000 updates a second, and nothing older follows', async () => {
    await publish();
    await waitFor(() => host.localCache.get('usd', coins[0]!), { what: 'the first quotes' });
    let isOver = false;
    const storming = storm(() => isOver);
    const readers: SseReader[] = [];
    for (let wave = 0; wave < waves; wave += 1) {
      const joins = Array.from({ length: joinsInWave }, (_, index) => join(index < stayInWave));
      readers.push(...(await Promise.all(joins)));
      await sleep(50);
    }
    await waitFor(() => readers.every((reader) => reader.dataOf('price').length >= 4), {
      what: 'some updates',
    });
    isOver = true;
    await storming;
    const staying = readers.filter(({ state }) => state === 'open');
    expect(staying.length).to.equal(waves * stayInWave);
    await waitFor(
      () =>
        staying.every((reader) =>
          reader
            .dataOf('price')
            .at(-1)
            .every(({ price }: { price: number }) => price === prices),
        ),
      { what: 'the last prices' },
    );
    for (const reader of readers) expectInOrder(reader);
    for (const coin of coins) expect(host.localCache.get('usd', coin)?.head).to.include(`"price":${prices},`);
  }).timeout(120_000);
});
