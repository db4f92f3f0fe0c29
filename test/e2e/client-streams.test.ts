/** The client's streams, and the command that shows them, against real processes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createPricepoolClient, type PricepoolClient } from '../../client/pricepool-client.ts';
import type { PortfolioEvent, PriceEvent, Quote } from '../../client/types.ts';
import { becomeNewUser } from '../../embedded/terminal-user.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { runWatch } from '../../embedded/watch/run-watch.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

describe('streams through the client', () => {
  let stack: Stack;
  let url: string;
  let client: PricepoolClient;
  let refreshes: number;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({
      environment: {
        JWT_EXPIRES_IN: '2s',
        STREAM_RENEW_AFTER: '1s',
        QUOTE_TTL: '2s',
        UPSTREAM_CALLS_PER_MINUTE: '1000',
      },
      market: { callsPerMinute: 1_000 },
    });
    url = stack.apis[0]!.url;
  });
  after(() => stack.stop());

  beforeEach(async () => {
    refreshes = -1;
    client = createPricepoolClient({ baseUrl: url, onTokens: () => (refreshes += 1) });
    await becomeNewUser(client, 'client');
  });

  const pricesIn = (events: readonly PriceEvent[]): Quote[] =>
    events.flatMap((event) =>
      event.type === 'price' ? event.data.filter((row): row is Quote => 'price' in row) : [],
    );

  it('go on over a restart of the API, with a token that has expired meanwhile', async function () {
    this.timeout(120_000);
    const events: PriceEvent[] = [];
    let restarting: Promise<unknown> | undefined;
    for await (const event of client.streamPrices({
      coins: ['bitcoin', 'no-such-coin'],
      signal: AbortSignal.timeout(60_000),
    })) {
      events.push(event);
      if (pricesIn(events).length === 4) restarting ??= stack.restartApi(stack.apis[0]!, 'SIGKILL');
      const greetings = events.filter(({ type }) => type === 'hello');
      if (greetings.length > 1 && events.length - events.lastIndexOf(greetings.at(-1)!) > 3) break;
    }
    await restarting;
    const epochs = events.flatMap((event) => (event.type === 'hello' ? [event.data.epoch] : []));
    expect(new Set(epochs).size).to.equal(2);
    expect(refreshes, 'refreshes').to.be.greaterThan(0);
    const times = pricesIn(events).map(({ received_at: at }) => at);
    expect(times).to.deep.equal(times.toSorted());
    const states = events.flatMap((event) => (event.type === 'price' ? event.data : []));
    expect(states.some(({ id, state }) => id === 'no-such-coin' && state === 'not_found')).to.equal(true);
  });

  it('end after maxUpdates', async () => {
    const events: PriceEvent[] = [];
    for await (const event of client.streamPrices({ coins: ['bitcoin'], maxUpdates: 2 })) events.push(event);
    expect(events[0]?.type).to.equal('hello');
    expect(events.at(-1)).to.deep.include({ type: 'end', data: { reason: 'complete', reconnect: false } });
    // The snapshot, and two.
    expect(events.filter(({ type }) => type === 'price')).to.have.length(3);
  });

  it('tell the exact value of holdings', async () => {
    const holdings = [
      { coin: 'bitcoin', quantity: '2' },
      { coin: 'bitcoin', quantity: '2' },
    ];
    const valued: PortfolioEvent[] = [];
    for await (const event of client.streamPortfolio({ holdings, signal: AbortSignal.timeout(60_000) })) {
      if (event.type !== 'portfolio' || event.data.total_value === null) continue;
      valued.push(event);
      if (valued.length === 2) break;
    }
    for (const { data } of valued as Extract<PortfolioEvent, { type: 'portfolio' }>[]) {
      const [row] = data.portfolio as [Quote];
      expect(row).to.include({ id: 'bitcoin', quantity: '4' });
      expect(Number(data.total_value)).to.be.closeTo(row.price * 4, row.price / 1e9);
      expect(data).to.deep.include({ complete: true, missing: [] });
    }
  });

  it('end for good with the session, and say why', async () => {
    const events: PriceEvent[] = [];
    for await (const event of client.streamPrices({ coins: ['bitcoin'] })) {
      events.push(event);
      if (event.type === 'hello') await client.logout();
    }
    expect(events.at(-1)).to.deep.include({ type: 'end', data: { reason: 'revoked', reconnect: false } });
  });

  it('use one refresh for calls that come at the same time', async () => {
    // The access token lives for two seconds.
    await waitFor(
      async () => {
        await Promise.all(Array.from({ length: 8 }, () => client.quote('bitcoin')));
        return refreshes > 0;
      },
      { what: 'the token to expire' },
    );
    // Had one of them used the refresh token again, the session would have ended.
    await client.refresh();
    expect((await client.quote('bitcoin')).price).to.be.greaterThan(0);
  });

  describe('in a terminal', () => {
    let child: ChildProcess | undefined;
    const folder = join(tmpdir(), `pricepool-watch-${process.pid}`);
    afterEach(() => void child?.kill('SIGKILL'));
    after(() => rm(folder, { recursive: true, force: true }));

    it('are a line per price where there is no terminal, over a restart, until Ctrl-C', async function () {
      this.timeout(120_000);
      let out = '';
      let complaints = '';
      const watch = ['--import', 'tsx', join(projectRoot, 'embedded/watch.ts'), 'bitcoin', 'no-such-coin'];
      child = spawn(process.execPath, watch, {
        cwd: projectRoot,
        env: { ...process.env, PRICEPOOL_URL: url, PRICEPOOL_DATA_DIR: folder },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
      child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaints += text));
      const exited = once(child, 'exit');
      const price = /^\d\d:\d\d:\d\d  bitcoin  [\d,]+\.\d\d USD  24h \S+  \d+s old  fresh$/gm;
      const prices = (text: string): number => text.match(price)?.length ?? 0;
      await waitFor(() => prices(out) > 1, { what: 'two prices', timeoutMs: 60_000 });
      expect(out)
        .to.match(/^\S+  no-such-coin  not_found$/m)
        .and.not.include('\u001b');

      await stack.restartApi(stack.apis[0]!);
      const reported = out.length;
      await waitFor(() => prices(out.slice(reported)) > 1, { what: 'prices again', timeoutMs: 60_000 });
      expect(out).to.include('not connected');
      child.kill('SIGINT');
      expect(await exited).to.deep.equal([0, null]);
      expect(complaints).to.equal('');
    });

    it('are a table that is drawn in place', async () => {
      let out = '';
      const stop = new AbortController();
      const complaints: string[] = [];
      const ended = runWatch({
        args: ['bitcoin', 'no-such-coin', '--currency', 'eur', '--url', url],
        environment: { TERM: 'dumb', PRICEPOOL_DATA_DIR: folder },
        out: { isTTY: true, rows: 24, write: (text: string) => (out += text) },
        complain: (message) => complaints.push(message),
        signal: stop.signal,
      });
      await waitFor(() => (out.match(/^.*bitcoin .*fresh$/gm) ?? []).length > 3, {
        what: 'prices',
        timeoutMs: 60_000,
      });
      stop.abort();
      expect(await ended).to.equal(0);
      expect(complaints).to.deep.equal([]);
      // Head, two coins and the line of the connection; the cursor goes back up to the head each time.
      const drawings = out.split('\u001b[4A');
      expect(drawings.length).to.be.greaterThan(3);
      expect(drawings[0]).to.include('PRICE EUR').and.include('waiting');
      const lines = drawings.at(-1)!.replaceAll('\r\u001b[2K', '').split('\n');
      expect(lines[1]).to.match(/^bitcoin +[\d,]+\.\d\d +[+-]?\d+\.\d\d% +\S+% +\d+s (fresh|stale)$/);
      expect(lines[2]).to.match(/^no-such-coin +- +- +- +- not_found$/);
    });

    it('need coins and an API', async () => {
      const watch = async (args: string[]): Promise<readonly [number, string]> => {
        let complaint = '';
        const out = { write: () => undefined };
        const complain = (message: string): void => void (complaint += message);
        const { signal } = new AbortController();
        const environment = { PRICEPOOL_DATA_DIR: folder };
        return [await runWatch({ args, environment, out, complain, signal }), complaint];
      };
      expect(await watch([])).to.satisfy(
        ([code, text]: [number, string]) => code === 2 && text.includes('npm run watch'),
      );
      expect((await watch(['bitcoin', '--interval', '0']))[0]).to.equal(2);
      const [code, text] = await watch(['bitcoin', '--url', 'http://127.0.0.1:1']);
      expect(code).to.equal(1);
      expect(text).to.include('no Pricepool API at http://127.0.0.1:1');
      const [refused, reason] = await watch(['bitcoin', '--currency', 'nonsense!', '--url', url]);
      expect(refused).to.equal(1);
      expect(reason).to.include('currency');
    });
  });
});
