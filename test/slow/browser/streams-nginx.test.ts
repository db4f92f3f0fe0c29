/** Streams through a proxy that buffers what it is not told to pass on. */
import { expect } from 'chai';
import { hasNginx, startNginx, type Nginx } from '../../support/nginx.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readSse, type SseReader } from '../../e2e/support/sse-reader.ts';
import { startStreamHost, type StreamHost } from '../../e2e/support/stream-host.ts';

const updates = 20;
/** Few enough to fit into the smallest buffer of nginx. */
const fewUpdates = 5;

describe('streams through nginx', () => {
  let host: StreamHost;
  let nginx: Nginx | undefined;

  before(async function () {
    if (!(await hasNginx())) {
      console.warn('      skipped: there is no nginx here');
      this.skip();
    }
    host = await startStreamHost();
  });
  after(async () => {
    // Absent where there is no nginx.
    await (host as StreamHost | undefined)?.close();
  });
  afterEach(async () => {
    await nginx?.stop();
    nginx = undefined;
  });

  const through = (proxy: Nginx): Promise<SseReader> =>
    readSse(host.pricesUrl(['bitcoin']).replace(host.url, proxy.url), {
      headers: { 'accept-encoding': 'gzip' },
    });

  /** One update after the other, each published when `reader` has the one before. Returns the delays (ms). */
  async function passOn(reader: SseReader, count: number): Promise<number[]> {
    const delays: number[] = [];
    for (let price = 1; price <= count; price += 1) {
      const before = reader.dataOf('price').length;
      const published = Date.now();
      await host.feed.publish({ bitcoin: price });
      await waitFor(() => reader.dataOf('price').length > before, { what: 'the update', timeoutMs: 60_000 });
      delays.push(reader.events.at(-1)!.at - published);
    }
    return delays.toSorted((a, b) => a - b);
  }

  for (const httpVersion of ['1.1', '1.0'] as const) {
    it(`arrive one by one, with buffering and gzip on, over HTTP/${httpVersion}`, async () => {
      nginx = await startNginx({ upstreamPort: host.port, httpVersion });
      const reader = await through(nginx);
      await waitFor(() => reader.dataOf('price').length === 1, { what: 'the snapshot' });
      const delays = await passOn(reader, updates);
      // Gathering takes up to 100 ms of it; a buffer would keep an event for ever.
      expect(delays[updates / 2]).to.be.below(1_000);
      expect(reader.headers).to.not.have.property('content-encoding');
      reader.cut();
    });
  }

  it('would not arrive without our header', async () => {
    // Over HTTP/1.1 nginx passes chunks on as they come, whatever it is told.
    nginx = await startNginx({ upstreamPort: host.port, httpVersion: '1.0', ignoresHeader: true });
    const direct = await readSse(host.pricesUrl(['bitcoin']));
    await waitFor(() => direct.dataOf('price').length === 1, { what: 'the snapshot' });
    let held: SseReader | undefined;
    // It keeps the head back too.
    const requested = through(nginx).then((reader) => (held = reader));
    await waitFor(() => host.registry.size === 2, { what: 'both streams' });
    await passOn(direct, fewUpdates);
    expect(held?.events ?? []).to.have.length(0);
    host.registry.drain();
    await requested;
    await waitFor(() => held?.state === 'clean', { what: 'what was kept back' });
    expect(held?.dataOf('price').at(-1)[0]).to.include({ price: fewUpdates });
  });
});
