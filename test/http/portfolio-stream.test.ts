/** What a portfolio is worth as it changes, over real streams, with prices and books that a test makes up. */
import { expect } from 'chai';
import { createParser } from 'eventsource-parser';
import { waitFor } from '../support/wait-for.ts';
import { heldAsset, MadeUpBooks, portfolioId } from './support/made-up-books.ts';
import { startSocketApi, type SocketApi } from './support/socket-api.ts';

const path = `/api/v1/portfolios/${portfolioId}/stream`;

interface Reported {
  readonly event: string;
  readonly id: string | undefined;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- events of every shape are looked into
  readonly data: any;
}

describe('the stream of a portfolio', () => {
  let api: SocketApi;
  let books: MadeUpBooks;

  beforeEach(async () => {
    books = new MadeUpBooks();
    books.assets = [heldAsset('bitcoin', '2', '100'), heldAsset('ethereum', '3', '30')];
    api = await startSocketApi(undefined, books.deps(50));
  });
  afterEach(async () => {
    await api.close(0);
  });

  async function open(query = '', headers: Record<string, string> = {}) {
    const leaving = new AbortController();
    const response = await fetch(`${api.base}${path}${query}`, {
      headers: { authorization: `Bearer ${api.token}`, ...headers },
      signal: leaving.signal,
    });
    const events: Reported[] = [];
    const client = {
      status: response.status,
      events,
      hasEnded: false,
      values: () =>
        events
          .filter(({ event }) => event === 'portfolio')
          .map(({ data }) => data.market_value as string | null),
      cut: () => {
        leaving.abort();
      },
    };
    const parser = createParser({
      onEvent: ({ event, id, data }) => events.push({ event: event ?? '', id, data: JSON.parse(data) }),
    });
    const decoder = new TextDecoder();
    void (async () => {
      for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
      client.hasEnded = true;
    })().catch(() => undefined);
    return client;
  }

  type Client = Awaited<ReturnType<typeof open>>;

  const count = (client: Client, many: number): Promise<unknown> =>
    waitFor(() => client.values().length >= many, { what: `${many} values` });

  it('greets, tells the whole, and then the totals with what has changed', async () => {
    api.tick({ bitcoin: 100, ethereum: 10 });
    const client = await open();
    await count(client, 1);
    expect(client.events[0]).to.deep.include({ event: 'hello', id: undefined });
    expect(client.events[0]!.data).to.deep.include({
      portfolio: portfolioId,
      currency: 'usd',
      recovered: false,
      interval_seconds: 1,
    });
    api.tick({ ethereum: 20 });
    await count(client, 2);
    expect(client.values()).to.deep.equal(['230', '260']);
    const [, first, second] = client.events;
    expect(first!.data.positions.map(({ asset }: { asset: string }) => asset)).to.deep.equal([
      'bitcoin',
      'ethereum',
    ]);
    expect(second!.data).to.deep.include({ complete: true, missing: [], unrealised: '130' });
    expect(second!.data.positions.map(({ asset }: { asset: string }) => asset)).to.deep.equal(['ethereum']);
    expect(second!.id).to.match(/^test\.\d+$/);
  });

  it('names what is missing, and wants it, until it comes', async () => {
    api.tick({ bitcoin: 100 });
    const client = await open();
    await count(client, 1);
    expect(client.events[1]!.data).to.deep.include({
      state: 'partial',
      complete: false,
      missing: ['ethereum'],
      market_value: '200',
    });
    await waitFor(() => api.wants.some(({ assetIds }) => assetIds.includes('ethereum')), { what: 'a wish' });
    api.tick({ ethereum: 1 });
    await count(client, 2);
    expect(client.events[2]!.data).to.deep.include({ complete: true, missing: [], market_value: '203' });
  });

  it('tells all of it anew after a transaction, and goes on with what is held then', async () => {
    api.tick({ bitcoin: 100, ethereum: 10, solana: 5 });
    const client = await open();
    await count(client, 1);
    books.change([heldAsset('bitcoin', '1', '50'), heldAsset('solana', '4', '8')]);
    await count(client, 2);
    expect(client.events[2]!.data).to.deep.include({ books_version: 2, market_value: '120' });
    expect(client.events[2]!.data.positions).to.have.lengthOf(2);
    expect(api.hub.watched()).to.equal(2);
    api.tick({ ethereum: 99, solana: 6 });
    await count(client, 3);
    expect(client.values()).to.deep.equal(['230', '120', '124']);
  });

  it('finds out by itself when news of a transaction, or of the end, were lost', async () => {
    api.tick({ bitcoin: 100, ethereum: 10 });
    const client = await open();
    await count(client, 1);
    books.change([heldAsset('bitcoin', '5')], false);
    await count(client, 2);
    expect(client.values()).to.deep.equal(['230', '500']);
    books.isGone = true;
    await waitFor(() => client.hasEnded, { what: 'the end' });
  });

  it('tells a change that comes while the books are read for the one before', async () => {
    await api.close(0);
    api = await startSocketApi(undefined, books.deps(3_600_000));
    api.tick({ bitcoin: 100, ethereum: 10 });
    const client = await open();
    await count(client, 1);
    books.whileRead = () => {
      books.whileRead = undefined;
      books.change([heldAsset('bitcoin', '7')]);
    };
    books.change([heldAsset('bitcoin', '5')]);
    await waitFor(() => client.values().at(-1) === '700', { what: 'the second change', timeoutMs: 20_000 });
  });

  it('ends for good when the portfolio is deleted, and leaves nothing behind', async () => {
    const client = await open();
    await count(client, 1);
    expect(api.hub.watched()).to.equal(2);
    books.isGone = true;
    books.tell();
    await waitFor(() => client.hasEnded, { what: 'the end' });
    expect(client.events.slice(-2).map(({ event, data }) => [event, data])).to.deep.equal([
      ['portfolio.deleted', { portfolio: portfolioId }],
      ['end', { reason: 'complete', reconnect: false }],
    ]);
    expect([api.hub.watched(), api.registry.size]).to.deep.equal([0, 0]);
    expect((await open()).status).to.equal(404);
  });

  it('stops watching when its client goes away', async () => {
    const client = await open();
    await count(client, 1);
    client.cut();
    await waitFor(() => api.hub.watched() === 0, { what: 'the end of the watch' });
    const { reads } = books;
    books.tell();
    expect(books.reads).to.equal(reads);
  });

  it('tells what changes within an interval at its end, at once', async () => {
    api.tick({ bitcoin: 100, ethereum: 10 });
    const client = await open();
    await count(client, 1);
    books.change([heldAsset('bitcoin', '1')]);
    await count(client, 2);
    for (let version = 2; version <= 20; version++) {
      books.change([heldAsset('bitcoin', String(version))]);
      api.tick({ bitcoin: 100 + version });
    }
    await count(client, 3);
    expect(client.values()).to.deep.equal(['230', '100', '2400']);
  });

  it('hears of the end of the portfolio however long the interval is', async () => {
    const client = await open('?interval=3600');
    await count(client, 1);
    books.change([heldAsset('bitcoin', '1')]);
    await count(client, 2);
    books.change([heldAsset('bitcoin', '2')]);
    books.isGone = true;
    books.tell();
    await waitFor(() => client.hasEnded, { what: 'the end' });
    expect(client.values()).to.have.lengthOf(2);
  });

  it('ends after max_updates, and goes on counting for a client that comes back', async () => {
    api.tick({ bitcoin: 100, ethereum: 10 });
    const client = await open('?max_updates=2');
    await count(client, 1);
    api.tick({ bitcoin: 101 });
    await count(client, 2);
    const { id } = client.events.at(-1)!;
    expect(id).to.match(/^test\.\d+\.1$/);
    client.cut();
    const again = await open('?max_updates=2', { 'last-event-id': id! });
    await count(again, 1);
    expect(again.events[0]!.data.recovered).to.equal(true);
    books.change([heldAsset('bitcoin', '1')]);
    await waitFor(() => again.hasEnded, { what: 'the end' });
    expect(again.events.map(({ event }) => event)).to.deep.equal(['hello', 'portfolio', 'portfolio', 'end']);
    const last = again.events.at(-2)!.id!;
    expect((await open('?max_updates=2', { 'last-event-id': last })).status).to.equal(204);
  });

  it('counts against the limits of streams, and is refused so that a browser comes back', async () => {
    const few = await startSocketApi({ perUser: 1, perAddress: 9, inAll: 9 }, books.deps(50));
    const headers = { authorization: `Bearer ${few.token}` };
    const first = await fetch(`${few.base}${path}`, { headers });
    const second = await fetch(`${few.base}${path}`, { headers });
    expect(second.status).to.equal(200);
    expect(await second.text())
      .to.match(/^event: ?limit$/m)
      .and.to.include('"limit":"user"');
    await first.body?.cancel();
    await few.close(0);
  });

  it('comes with a ticket too, and ends when the credential is revoked', async () => {
    const { data } = (await (await api.call('POST', '/api/v1/auth/stream-ticket')).json()) as {
      data: { ticket: string };
    };
    const client = await open(`?ticket=${data.ticket}`, { authorization: '' });
    await count(client, 1);
    api.revoke();
    await waitFor(() => client.hasEnded, { what: 'the end' });
    expect(client.events.at(-1)).to.deep.include({
      event: 'end',
      data: { reason: 'revoked', reconnect: false },
    });
  });
});
