/**
 * A silent market: signs of life that proxies and clients see, and quotes that turn stale. STREAMS_SILENT_SECONDS makes the
 * silence longer; from 30 on it is also kept through a proxy that cuts what is silent for 20 s.
 */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import { hasNginx, startNginx } from '../../support/nginx.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readSse, type SseReader } from '../../e2e/support/sse-reader.ts';
import { startStreamHost, type StreamHost } from '../../e2e/support/stream-host.ts';

const silentSeconds = Number(process.env.STREAMS_SILENT_SECONDS ?? 16);
const beatSeconds = 15;

describe('streams on a silent market', () => {
  let host: StreamHost;

  beforeEach(async () => {
    host = await startStreamHost();
  });
  afterEach(() => host.close());

  const isGreeted = (reader: SseReader): boolean => reader.dataOf('hello').length === 1;

  it('tell once that a quote has become stale, and once that it is fresh again', async () => {
    const reader = await readSse(host.pricesUrl(['bitcoin']));
    await host.feed.publish({ bitcoin: 1 });
    const states = (): string[] => reader.dataOf('price').map(([quote]) => quote.state);
    await waitFor(() => states().length === 2, { what: 'the quote' });
    host.skip(600_000);
    await waitFor(() => states().length === 3, { what: 'the stale quote' });
    // Two more looks.
    await sleep(2_100);
    expect(states()).to.deep.equal(['pending', 'fresh', 'stale']);
    expect(reader.dataOf('price').at(-1)[0]).to.include({ price: 1 });
    reader.cut();
  });

  it(`beat every ${beatSeconds} s, as a comment and as an event, for ${silentSeconds} s`, async () => {
    await host.feed.publish({ bitcoin: 1 });
    await waitFor(() => host.localCache.get('usd', 'bitcoin'), { what: 'the quote' });
    const urls = [
      host.pricesUrl(['bitcoin']),
      host.pricesUrl(['ethereum'], 1_000),
      host.jobUrl(randomUUID()),
    ];
    const nginx =
      silentSeconds >= 30 && (await hasNginx()) ? await startNginx({ upstreamPort: host.port }) : undefined;
    if (nginx !== undefined) urls.push(...urls.map((url) => url.replace(host.url, nginx.url)));
    // More streams than there are turns of a beat, so that each turn has one.
    const readers = await Promise.all(Array.from({ length: 30 }, (_, n) => readSse(urls[n % urls.length]!)));
    await waitFor(() => readers.every(isGreeted), { what: 'the greetings' });
    await sleep(silentSeconds * 1_000);
    const beats = Math.floor(silentSeconds / beatSeconds);
    for (const reader of readers) {
      expect(reader.state).to.equal('open');
      expect(reader.comments.length).to.be.within(beats, beats + 1);
      expect(reader.dataOf('heartbeat')).to.have.length(reader.comments.length);
      expect(Date.parse(reader.dataOf('heartbeat')[0].time)).to.be.closeTo(Date.now(), 120_000);
      expect(reader.dataOf('heartbeat')[0]).to.include({ seq: host.hub.seq });
      expect(reader.dataOf('heartbeat')[0].source_age_seconds).to.have.property('simulated');
      expect(reader.events.map(({ event }) => event)).to.not.include.members(['end', 'drain']);
      reader.cut();
    }
    await nginx?.stop();
  }).timeout((silentSeconds + 30) * 1_000);
});
