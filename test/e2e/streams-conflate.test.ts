/** A client that stops reading for a while gets the newest prices after it, not what it missed. */
import { expect } from 'chai';
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { waitFor } from '../support/wait-for.ts';
import { quoteOf } from './support/feed.ts';
import { readSse, type SseReader } from './support/sse-reader.ts';
import { startStreamHost, type StreamHost } from './support/stream-host.ts';

const coins = Array.from({ length: 20 }, (_, index) => `coin-${index}`);
/** Makes a frame of some 400 KB, so that megabytes are pushed soon. */
const padding = 20_000;
const behindBytes = 65_536;
const pushedBytes = 6_000_000;

describe('conflation of price streams', () => {
  let host: StreamHost;
  let price = 0;

  before(async () => {
    host = await startStreamHost();
  });
  after(() => host.close());

  /** One tick of all coins; returns its bytes in a frame, about. */
  async function publish(): Promise<number> {
    price += 1;
    const quotes = coins.map((coin) => quoteOf(coin, price, { padding }));
    await host.feed.redis.publish(
      host.feed.keys.ticks,
      JSON.stringify({ tick: { currency: 'usd', quotes, failures: [] } }),
    );
    await sleep(20);
    return quotes.reduce((sum, { head }) => sum + head.length, 0);
  }

  const seqs = (reader: SseReader): number[] =>
    reader.events.filter(({ event }) => event === 'price').map(({ id }) => Number(id?.split('.')[1]));
  const isNewest = (reader: SseReader): boolean =>
    reader
      .dataOf('price')
      .at(-1)
      ?.every((quote: { price: number }) => quote.price === price);
  const unsent = (): number => Math.max(...[...host.sockets].map(({ writableLength }) => writableLength));

  it('skips what a paused client missed, shows that it did, and goes on with the newest', async () => {
    const healthy = await readSse(host.pricesUrl(coins));
    const paused = await readSse(host.pricesUrl(coins));
    await waitFor(() => paused.dataOf('price').length > 0, { what: 'the snapshot' });
    paused.pause();
    let most = 0;
    await waitFor(
      async () => {
        await publish();
        most = Math.max(most, unsent());
        return unsent() > behindBytes;
      },
      { what: 'the connection to be full' },
    );
    const before = healthy.dataOf('price').length;
    const frame = await publish();
    await waitFor(
      async () => {
        await publish();
        most = Math.max(most, unsent());
        return (healthy.dataOf('price').length - before) * frame > pushedBytes;
      },
      { what: '6 MB to be pushed to the other client' },
    );
    await waitFor(() => isNewest(healthy), { what: 'the newest prices' });
    expect(most).to.be.below(1_048_576);

    paused.resume();
    await waitFor(() => isNewest(paused), { what: 'the newest prices after the pause' });
    const gaps = seqs(paused).map((seq, index, all) => seq - (all[index - 1] ?? seq));
    const gapAt = gaps.findIndex((gap) => gap > 1);
    expect(gapAt).to.be.above(0);
    const after = paused.dataOf('price').slice(gapAt);
    expect(after.length).to.be.at.most(20);
    for (const quotes of after)
      for (const quote of quotes) expect(quote).to.include({ price, state: 'fresh' });
    expect(after.flat().map(({ id }) => id)).to.have.members(coins);
    expect(Math.max(...seqs(healthy).map((seq, index, all) => seq - (all[index - 1] ?? seq)))).to.equal(1);
    expect(host.registry.ended()).to.deep.equal({});
    for (const reader of [healthy, paused]) reader.cut();
  });
});
