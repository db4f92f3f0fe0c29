import { expect } from 'chai';
import type { RequestListener } from 'node:http';
import { listen } from '../../src/http/listen.ts';

const serving = (listener: RequestListener) => ({ callback: () => listener });
const address = { host: '127.0.0.1', port: 0 };

/** A promise that is settled from outside. */
function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe('listen', () => {
  it('says what to do when the port is taken', async () => {
    const first = await listen(
      serving((_req, res) => res.end()),
      address,
    );
    const second = await listen(
      serving((_req, res) => res.end()),
      { ...address, port: first.port },
    ).catch((error: unknown) => error);
    expect(second).to.be.instanceOf(Error);
    expect((second as Error).message).to.match(
      /^Cannot listen on 127\.0\.0\.1:\d+: another process listens there; set PORT/,
    );
    await first.close();
  });

  it('lets a request that is being answered end, and takes no new one', async () => {
    let answer: () => void = () => undefined;
    const arrived = signal();
    const listening = await listen(
      serving((_req, res) => {
        answer = () => res.end('whole');
        arrived.resolve();
      }),
      address,
    );
    const url = `http://127.0.0.1:${listening.port}`;
    const pending = fetch(url);
    await arrived.promise;
    const closed = listening.close(10_000);
    answer();
    const answered = await pending;
    expect(await answered.text()).to.equal('whole');
    await closed;
    const late = await fetch(url).catch((error: unknown) => error);
    expect(late).to.be.instanceOf(Error);
  });

  it('cuts what does not end within the grace', async () => {
    const arrived = signal();
    const listening = await listen(
      serving(() => arrived.resolve()),
      address,
    );
    const pending = fetch(`http://127.0.0.1:${listening.port}`).catch((error: unknown) => error);
    await arrived.promise;
    await listening.close(20);
    expect(await pending).to.be.instanceOf(Error);
  });
});
