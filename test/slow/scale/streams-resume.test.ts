/** A client of a job that is cut off again and again has every event once; one that cannot have all is told so. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { projectRoot } from '../../../embedded/project-root.ts';
import { startRedis, type EmbeddedRedis } from '../../../embedded/redis.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readSse, type ReadEvent, type SseReader } from '../../e2e/support/sse-reader.ts';
import { startStreamHost, type StreamHost } from '../../e2e/support/stream-host.ts';

const folder = join(projectRoot, '.pricepool', `test-resume-${process.pid}`);

describe('streams of jobs that are resumed', () => {
  let redis: EmbeddedRedis;
  let host: StreamHost;

  before(async () => {
    // Of its own, because it is emptied.
    redis = await startRedis({ dataDir: folder, log: silentLogger(), throwaway: true });
    host = await startStreamHost(redis.url);
  });

  after(async () => {
    await host.close();
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const coin = (n: number) => ({ type: 'job.coin', data: { n } }) as const;
  const isGreeted = (reader: SseReader): boolean => reader.dataOf('hello').length > 0;

  function resumed(jobId: string, lastEventId: string): Promise<SseReader> {
    return readSse(host.jobUrl(jobId), { headers: { 'last-event-id': lastEventId } });
  }

  it('have no gap and no repetition after fifty cuts in 2,000 events', async () => {
    const jobId = randomUUID();
    const events = 2_000;
    const seen: ReadEvent[] = [];
    let reader: SseReader | undefined;
    let cuts = 0;
    const connect = async (lastEventId?: string): Promise<void> => {
      let isCut = false;
      const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
      const onEvent = (event: ReadEvent): void => {
        // What a parser still has after the cut was not received.
        if (isCut || event.id === undefined) return;
        seen.push(event);
        if (cuts >= 50 || seen.length < (cuts + 1) * 39) return;
        isCut = true;
        cuts += 1;
        reader?.cut();
        void connect(event.id);
      };
      reader = await readSse(host.jobUrl(jobId), { headers, onEvent });
    };
    await connect();
    await waitFor(() => isGreeted(reader!), { what: 'the greeting' });
    // Entries of several events, so that cuts fall inside of them too.
    for (let n = 0; n < events; n += 8)
      await host.feed.append(
        jobId,
        [0, 1, 2, 3, 4, 5, 6, 7].map((index) => coin(n + index)),
      );
    await host.feed.append(jobId, [{ type: 'job.completed', data: {}, jobs: [jobId] }]);
    await waitFor(() => seen.at(-1)?.event === 'job.completed', { what: 'the end of the job' });
    expect(cuts).to.equal(50);
    expect(seen.map(({ data }) => data.n)).to.deep.equal([...Array(events).keys(), undefined]);
    expect(new Set(seen.map(({ id }) => id)).size).to.equal(seen.length);
    await waitFor(() => reader?.state === 'clean', { what: 'the end of the last stream' });
  });

  it('say that nothing was lost only when nothing was: a forged id and a trimmed one get a reset', async () => {
    const jobId = randomUUID();
    await host.feed.append(jobId, [coin(1)]);
    const first = await readSse(host.jobUrl(jobId));
    await waitFor(() => first.dataOf('job.coin').length === 1, { what: 'the event' });
    const lastSeen = first.events.find(({ event }) => event === 'job.coin')!.id!;
    first.cut();
    const kept = await resumed(jobId, lastSeen);
    await waitFor(() => isGreeted(kept), { what: 'the greeting' });
    expect(kept.dataOf('hello')[0]).to.include({ recovered: true });

    await host.feed.append(jobId, [coin(2)]);
    await host.feed.redis.xtrim(host.feed.keys.jobEvents, 'MAXLEN', 1);
    const newer = (await host.feed.redis.xrevrange(host.feed.keys.jobEvents, '+', '-', 'COUNT', 1))[0]![0];
    const ids = [
      lastSeen,
      '1-0.0',
      `${newer}.7`,
      '999999999999999-0.0',
      'host.17',
      `${'9'.repeat(40)}-1.0`,
      '-1',
      'null',
      '%00',
    ];
    for (const id of ids) {
      const reader = await resumed(jobId, id);
      await waitFor(() => reader.dataOf('reset').length === 1, { what: `the reset of ${id}` });
      expect(reader.status).to.equal(200);
      expect(reader.dataOf('hello')[0], id).to.include({ recovered: false });
      expect(reader.dataOf('reset')[0]).to.include({ job: jobId, state: 'running' });
      reader.cut();
    }
  });

  it('have another epoch when Redis has lost its history, and no id of the old one recovers', async () => {
    const jobId = randomUUID();
    await host.feed.append(jobId, [coin(1)]);
    const before = await readSse(host.jobUrl(jobId));
    await waitFor(() => before.dataOf('job.coin').length === 1, { what: 'the event' });
    const lastSeen = before.events.find(({ event }) => event === 'job.coin')!.id!;
    before.cut();
    await host.feed.redis.flushall();
    await host.feed.append(randomUUID(), [coin(2)]);
    const after = await resumed(jobId, lastSeen);
    await waitFor(() => after.dataOf('reset').length === 1, { what: 'the reset' });
    expect(after.dataOf('hello')[0].recovered).to.equal(false);
    expect(after.dataOf('hello')[0].epoch).to.be.a('string').and.not.equal(before.dataOf('hello')[0].epoch);
    after.cut();
  });
});
