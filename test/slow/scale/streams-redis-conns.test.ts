/** What streams cost Redis does not depend on their number. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { waitFor } from '../../support/wait-for.ts';
import { readSse, type SseReader } from '../../e2e/support/sse-reader.ts';
import { startStreamHost, type StreamHost } from '../../e2e/support/stream-host.ts';

const streams = 500;

describe('connections of streams to Redis', () => {
  let host: StreamHost;
  const warnings: Error[] = [];
  const note = (warning: Error): void => void warnings.push(warning);

  before(async () => {
    host = await startStreamHost();
    process.on('warning', note);
  });
  after(async () => {
    process.off('warning', note);
    await host.close();
  });

  const connections = async (): Promise<number> =>
    ((await host.feed.redis.client('LIST')) as string).trim().split('\n').length;

  const isGreeted = (reader: SseReader): boolean => reader.dataOf('hello').length === 1;

  it('are as many for 500 streams of jobs as for one, and nothing listens when they are closed', async () => {
    const jobs = Array.from({ length: streams }, () => randomUUID());
    const first = await readSse(host.jobUrl(jobs[0]!));
    await waitFor(() => isGreeted(first), { what: 'the first greeting' });
    const before = await connections();
    const others = await Promise.all(jobs.slice(1).map((id) => readSse(host.jobUrl(id))));
    await waitFor(() => others.every(isGreeted), { what: 'all greetings' });
    expect(await connections()).to.equal(before);
    expect([host.registry.size, host.listening()]).to.deep.equal([streams, streams]);

    const last = others.at(-1)!;
    await host.feed.append(jobs.at(-1)!, [{ type: 'job.progress', data: { done: 1 } }]);
    await waitFor(() => last.dataOf('job.progress').length === 1, { what: 'the event of one of them' });
    expect(others.filter((reader) => reader.dataOf('job.progress').length > 0)).to.deep.equal([last]);

    for (const reader of [first, ...others]) reader.cut();
    await waitFor(() => host.registry.size === 0, { what: 'the end of all streams' });
    expect(host.listening()).to.equal(0);
    expect(host.registry.ended()).to.deep.equal({ client: streams });
    expect(await connections()).to.equal(before);
    expect(warnings.map(({ name }) => name)).to.not.include('MaxListenersExceededWarning');
  });
});
