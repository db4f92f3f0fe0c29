/** Clients that never read are cut and counted, with little memory spent on each, and harm nobody. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { createRealtimeModule } from '../../../src/platform/realtime/module.ts';
import { createMetrics } from '../../../src/platform/observability/metrics-registry.ts';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import { waitFor } from '../../support/wait-for.ts';
import { quoteOf } from '../../e2e/support/feed.ts';
import { readSse, type ReadEvent, type SseReader } from '../../e2e/support/sse-reader.ts';
import { startStreamHost, type StreamHost } from '../../e2e/support/stream-host.ts';

const coins = Array.from({ length: 20 }, (_, index) => `coin-${index}`);
const padding = 20_000;
const behindBytes = 65_536;
const maxBytes = 1_048_576;
const longestBehindMs = 10_000;
const clients = 50;

describe('slow clients of streams', () => {
  let host: StreamHost;
  let price = 0;

  beforeEach(async () => {
    host = await startStreamHost();
  });
  afterEach(() => host.close());

  async function publish(): Promise<void> {
    price += 1;
    const quotes = coins.map((coin) => quoteOf(coin, price, { padding }));
    await host.feed.redis.publish(
      host.feed.keys.ticks,
      JSON.stringify({ tick: { currency: 'usd', quotes, failures: [] } }),
    );
    await sleep(100);
  }

  /** Asks for a stream and never reads. */
  async function neverRead(): Promise<Socket> {
    const socket = connect(host.port, '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    const { pathname, search } = new URL(host.pricesUrl(coins));
    socket.pause().write(`GET ${pathname}${search} HTTP/1.1\r\nHost: x\r\n\r\n`);
    return socket;
  }

  const newest = (reader: SseReader): boolean =>
    reader
      .dataOf('price')
      .at(-1)
      ?.every((quote: { price: number }) => quote.price === price);

  it('are cut when they have been behind for ten seconds; who reads misses nothing', async () => {
    const healthy = await readSse(host.pricesUrl(coins));
    const sockets = await Promise.all(Array.from({ length: clients }, neverRead));
    await waitFor(() => host.registry.size === clients + 1, { what: 'all streams' });
    let most = 0;
    await waitFor(
      async () => {
        await publish();
        const unsent = [...host.sockets].map(({ writableLength }) => writableLength);
        most = Math.max(most, ...unsent);
        return unsent.filter((bytes) => bytes > behindBytes).length === clients;
      },
      { what: 'every connection to be full', timeoutMs: 60_000 },
    );
    // What they do not take is not kept for them either.
    for (let more = 0; more < 5; more += 1) {
      await publish();
      most = Math.max(most, ...[...host.sockets].map(({ writableLength }) => writableLength));
    }
    // Judged as behind; ten seconds later, once more.
    expect(host.registry.ended()).to.deep.equal({});
    host.skip(longestBehindMs);
    await waitFor(() => host.registry.ended()['slow'] === clients, { what: 'their end' });
    expect(host.registry.size).to.equal(1);
    await waitFor(() => host.sockets.size === 1, { what: 'the end of their connections' });
    expect(most).to.be.below(maxBytes);

    const metrics = createMetrics();
    createRealtimeModule({}, { realtime: host }).metrics?.(metrics);
    expect(await metrics.text()).to.include(`stream_closed_total{reason="slow"} ${clients}`);

    await publish();
    await waitFor(() => newest(healthy), { what: 'the newest prices of who reads' });
    const seqs = healthy.events
      .filter(({ event }) => event === 'price')
      .map(({ id }) => Number(id?.split('.')[1]));
    expect(seqs).to.deep.equal(seqs.map((_, index) => seqs[0]! + index));
    healthy.cut();
    for (const socket of sockets) socket.destroy();
  }).timeout(120_000);

  it('lose no event of a job: who is cut and comes back has all of them once', async () => {
    const jobId = randomUUID();
    const entries = 3_000;
    const seen: ReadEvent[] = [];
    const onEvent = (event: ReadEvent): void => {
      if (event.id !== undefined) seen.push(event);
    };
    const slow = await readSse(host.jobUrl(jobId), { onEvent });
    await waitFor(() => slow.dataOf('hello').length === 1, { what: 'the greeting' });
    slow.pause();
    const text = 'x'.repeat(3_000);
    for (let n = 0; n < entries; n += 20) {
      const events = Array.from(
        { length: 20 },
        (_, index) => ({ type: 'job.coin', data: { n: n + index, text } }) as const,
      );
      await host.feed.append(jobId, events);
    }
    await waitFor(() => host.registry.ended()['slow'] === 1, { what: 'the end of the stream' });
    slow.resume();
    await waitFor(() => slow.state === 'cut', { what: 'its end at the client' });
    expect(seen.length).to.be.within(1, entries - 1);

    await host.feed.append(jobId, [{ type: 'job.completed', data: {}, jobs: [jobId] }]);
    const back = await readSse(host.jobUrl(jobId), {
      headers: { 'last-event-id': seen.at(-1)!.id! },
      onEvent,
    });
    await waitFor(() => back.state === 'clean', { what: 'the end of the job' });
    expect(back.dataOf('hello')[0]).to.include({ recovered: true });
    expect(seen.map(({ data }) => data.n)).to.deep.equal([...Array(entries).keys(), undefined]);
  }).timeout(120_000);
});
