/** A page in a real browser, with the browser's own EventSource and a ticket, and an API that is restarted under it. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import ts from 'typescript';
import { freePort } from '../../../embedded/free-port.ts';
import { projectRoot } from '../../../embedded/project-root.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { chromiumPath, openPage, type Browser } from '../../support/chromium.ts';
import { startStack, type Stack, type StackProcess } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/** What the page tells of itself. */
interface Report {
  readonly name: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- data of every event
  readonly data: any;
}

const ticketSeconds = 15;

describe('a page in a browser', () => {
  let stack: Stack | undefined;
  let user: ApiClient;
  let server: Server | undefined;
  let browser: Browser | undefined;
  let pageUrl: string;
  const reports: Report[] = [];

  before(async function () {
    this.timeout(120_000);
    if (chromiumPath() === undefined) {
      console.log('      skipped: there is no chromium here; install it, or set CHROMIUM_PATH');
      this.skip();
    }
    const origin = `http://127.0.0.1:${await freePort()}`;
    stack = await startStack({
      environment: {
        CORS_ORIGINS: origin,
        STREAM_TICKET_EXPIRES_IN: `${ticketSeconds}s`,
        STREAM_RENEW_AFTER: '1s',
        QUOTE_TTL: '2s',
        UPSTREAM_CALLS_PER_MINUTE: '1000',
      },
      market: { callsPerMinute: 1_000 },
    });
    user = await newUser(api().url);
    server = createServer((request, response) => void serve(request, response));
    server.listen(Number(new URL(origin).port), '127.0.0.1');
    await once(server, 'listening');
    pageUrl = origin;
  });

  after(async function () {
    this.timeout(120_000);
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
    await stack?.stop();
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/report') {
      let text = '';
      for await (const piece of request.setEncoding('utf8')) text += piece as string;
      reports.push(JSON.parse(text) as Report);
      response.writeHead(204).end();
    } else if (request.url === '/browser-stream.js') {
      response.writeHead(200, { 'content-type': 'text/javascript' }).end(await compiled());
    } else {
      const { body } = await user.call('POST', '/auth/stream-ticket');
      const stream = `${api().url}/api/v1/crypto/stream/prices?coins=bitcoin`;
      response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
        .end(pageOf(stream, body!.data.ticket));
    }
  }

  const api = (): StackProcess => stack!.apis[0]!;
  const named = (name: string): Report[] => reports.filter((report) => report.name === name);
  const more = (name: string, than: number): Promise<unknown> =>
    waitFor(() => named(name).length > than, { what: `another ${name}`, timeoutMs: 60_000 });

  it('survives three restarts of the API and shows the right price', async function () {
    this.timeout(240_000);
    browser = await openPage(chromiumPath()!, pageUrl);
    await more('hello', 0).catch((error: unknown) => {
      throw new Error(`${String(error)}; the browser says: ${browser?.complaints() ?? ''}`);
    });
    // The ticket that the page was opened with has expired when its second successor is there.
    await more('ticket', 1);

    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
      // A young ticket: that it outlives the restart is all that a page can hope for.
      await more('ticket', named('ticket').length);
      const greetings = named('hello').length;
      await stack!.restartApi(api(), signal);
      await more('hello', greetings);
    }

    const epochs = new Set(named('hello').map(({ data }) => data.epoch));
    expect(epochs.size, 'runs of the API that the page has seen').to.equal(4);
    expect(named('opened').length, 'EventSources that it took').to.be.greaterThan(1);
    expect(named('end')).to.deep.equal([]);

    const [shown, price] = await waitFor(
      async () => {
        const { body } = await user.call('GET', '/crypto/bitcoin');
        const last = named('shown').at(-1)?.data;
        return last.received_at === body!.data.received_at && [last.price, body!.data.price];
      },
      { what: 'the page to show the newest quote' },
    );
    expect(shown).to.be.greaterThan(0).and.equal(price);
    const times = named('shown').map(({ data }) => data.received_at as string);
    expect(times, 'no older price after a newer one').to.deep.equal(times.toSorted());
    expect(new Set(times).size, 'quotes that it has shown').to.be.greaterThan(3);
  });
});

/** The module as a page takes it: without its types. */
async function compiled(): Promise<string> {
  const source = await readFile(join(projectRoot, 'client/browser-stream.ts'), 'utf8');
  return ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  }).outputText;
}

function pageOf(stream: string, ticket: string): string {
  return `<!doctype html><title>Prices</title><p id="price"></p><script type="module">
import { openEventSource } from '/browser-stream.js';
// One after the other, so that reports arrive in order.
let sent = Promise.resolve();
const report = (name, data) => {
  sent = sent.then(() => fetch('/report', { method: 'POST', body: JSON.stringify({ name, data }) }));
};
class Counted extends EventSource {
  constructor(url) {
    super(url);
    report('opened', url.replace(/ticket=[^&]*/, ''));
  }
}
const stream = openEventSource(${JSON.stringify(stream)}, {
  ticket: ${JSON.stringify(ticket)},
  EventSource: Counted,
  onEnd: (reason) => report('end', reason),
});
for (const name of ['hello', 'drain']) stream.onEvent(name, (data) => report(name, data));
stream.onEvent('ticket', () => report('ticket', null));
stream.onEvent('price', ([quote]) => {
  if (quote.price === undefined) return;
  document.querySelector('#price').textContent = quote.price;
  report('shown', { price: Number(document.querySelector('#price').textContent), received_at: quote.received_at });
});
</script>`;
}
