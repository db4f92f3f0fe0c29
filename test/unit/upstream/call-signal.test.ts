/** Deadlines of calls, also in a process that was stopped in between. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { isTooLate, signalWithDeadline, type Stopwatch } from '../../../src/features/upstream/call-signal.ts';
import { ProviderTimeoutError } from '../../../src/features/upstream/provider-errors.ts';
import { createHttpGet } from '../../../src/features/upstream/http-get.ts';

const hourMs = 3_600_000;
const late = (): Error => new Error('too late');

describe('the deadline of a call', () => {
  let elapsedMs: number;
  const opened: (() => void)[] = [];
  const since: Stopwatch = { elapsedMs: () => elapsedMs };

  beforeEach(() => {
    elapsedMs = 0;
  });
  afterEach(() => opened.splice(0).forEach((dispose) => dispose()));

  function signalOf(ms: number, parent?: AbortSignal, watch: Stopwatch = since): AbortSignal {
    const { signal, dispose } = signalWithDeadline({ parent, ms, since: watch, reason: late });
    opened.push(dispose);
    return signal;
  }

  it('is over when its time is, though no timer has run', () => {
    const signal = signalOf(hourMs);
    elapsedMs = hourMs - 1;
    expect([signal.aborted, isTooLate(signal)]).to.deep.equal([false, false]);
    elapsedMs = hourMs;
    expect([signal.aborted, isTooLate(signal)]).to.deep.equal([false, true]);
  });

  it('is over for every signal that was made of it', () => {
    const parent = signalOf(hourMs);
    const child = signalOf(2 * hourMs, parent, { elapsedMs: () => 0 });
    const grandchild = signalOf(2 * hourMs, child, { elapsedMs: () => 0 });
    expect(isTooLate(grandchild)).to.equal(false);
    elapsedMs = hourMs;
    expect(isTooLate(grandchild)).to.equal(true);
  });

  it('aborts with its own reason, and before that with the one of its parent', async () => {
    const parent = new AbortController();
    const signal = signalOf(hourMs, parent.signal);
    parent.abort(new Error('left'));
    expect(signal.reason).to.be.an('error').with.property('message', 'left');
    expect(signalOf(hourMs, parent.signal).aborted).to.equal(true);
    elapsedMs = hourMs - 1;
    const soon = signalOf(hourMs);
    await new Promise((resolve) => soon.addEventListener('abort', resolve));
    expect(soon.reason).to.be.an('error').with.property('message', 'too late');
  });

  it('never aborts after it was freed', () => {
    const parent = new AbortController();
    const { signal, dispose } = signalWithDeadline({ parent: parent.signal, ms: hourMs, reason: late });
    dispose();
    parent.abort();
    expect(signal.aborted).to.equal(false);
  });

  describe('of a request', () => {
    let server: Server;
    let requests: number;
    let url: string;

    beforeEach(async () => {
      requests = 0;
      server = createServer((_request, response) => {
        requests += 1;
        response.end('{}');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ping`;
    });
    afterEach(() => new Promise((resolve) => server.close(resolve)));

    it('is looked at when the request is written: none goes out after it', async () => {
      const http = createHttpGet({ provider: 'p', timeoutMs: 5_000, maxBodyBytes: 1_000, headers: {} });
      const signal = signalOf(hourMs);
      expect((await http.get(url, signal)).status).to.equal(200);
      elapsedMs = hourMs;
      const error: unknown = await http.get(url, signal).catch((reason: unknown) => reason);
      await http.close();
      expect(error).to.be.instanceOf(ProviderTimeoutError);
      expect(requests).to.equal(1);
    });
  });
});
