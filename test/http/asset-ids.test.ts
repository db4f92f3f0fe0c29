/** Ids as price sources list them: blanks, brackets and capitals among them. */
import { expect } from 'chai';
import { directoryOver } from '../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../src/features/assets/asset-index.ts';
import { checkTransaction } from '../../src/features/portfolios/ledger/check-transaction.ts';
import type { WrittenTransaction } from '../../src/features/portfolios/transactions/transaction-drafts.ts';
import { toCachedQuote } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';
import { openSocket, type TestSocket } from '../support/socket-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { fakeAlerts } from './support/fake-alerts.ts';
import { fakePortfolios } from './support/fake-portfolios.ts';
import { startApi, type TestApi } from './support/ports.ts';
import { startSocketApi, type SocketApi } from './support/socket-api.ts';

const quoteOf = (assetId: string): Quote => ({
  ...{
    assetId,
    symbol: 'odd',
    name: assetId,
    currency: 'usd',
    price: 67_187.34,
    marketCap: null,
    rank: null,
  },
  ...{ change24h: null, changePercent24h: null, volume24h: null, source: 'coingecko', asOf: null },
  receivedAt: Date.now(),
});

const odd = ['1move token', 'boringdao-[old]', 'MixedCase-Coin'];
const index = createAssetIndex(
  [...odd, 'bitcoin'].map((id) =>
    searchable({ id, symbol: id, name: id, rank: null, image: null, active: true, platformsJson: '{}' }),
  ),
);
const assets = directoryOver(() => index);

describe('ids as the source lists them', () => {
  let api: TestApi;
  let alerts: ReturnType<typeof fakeAlerts>;
  let written: WrittenTransaction[];

  beforeEach(async () => {
    alerts = fakeAlerts(odd);
    written = [];
    api = await startApi({
      assets,
      alerts: alerts.operations,
      transactions: {
        ...fakePortfolios.transactions,
        create: (_request, drafts) => {
          written.push(...drafts);
          return Promise.reject(new Error('that is enough'));
        },
      },
    });
    for (const assetId of [...odd, 'bitcoin']) {
      const reading = { assetId, state: 'fresh', quote: toCachedQuote(quoteOf(assetId)) } as const;
      api.market.readings.set(`usd:${assetId}`, reading);
      api.quotes.readings.set(assetId, reading);
    }
  });
  afterEach(() => api.close(0));

  for (const id of odd) {
    it(`can be asked for: ${id}`, async () => {
      const one = await api.call('GET', `/api/v1/crypto/${encodeURIComponent(id)}`);
      expect(((await one.json()) as { data: object }).data).to.include({ id });
      const price = await api.call(
        'GET',
        `/api/v3/simple/price?vs_currencies=usd&ids=${encodeURIComponent(id)}`,
      );
      expect(await price.json()).to.deep.equal({ [id]: { usd: 67_187.34 } });
      const bulk = await api.call('POST', '/api/v1/crypto/bulk', { body: { coins: [id] } });
      expect(bulk.status).to.equal(202);
      const path = `/coins/${encodeURIComponent(id)}/ohlc?days=1&vs_currency=usd`;
      const json = '[[1,2,3,1,2]]';
      api.documents.readings.set(path, { state: 'fresh', response: { json, receivedAt: Date.now() } });
      expect(await (await api.call('GET', `/api/v3${path}`)).json()).to.deep.equal([[1, 2, 3, 1, 2]]);
    });

    it(`can be held in a portfolio: ${id}`, () => {
      const bought = {
        type: 'transfer_in',
        executedAt: '2024-01-31T09:30:00Z',
        received: { asset: id, quantity: '1' },
      };
      const draft = bought as Parameters<typeof checkTransaction>[0];
      expect(checkTransaction(draft, Date.now()).received).to.include({ asset: id });
    });

    it(`reaches the books and the alerts as it is listed: ${id}`, async () => {
      const portfolio = '/api/v1/portfolios/01934c2a-0000-7000-8000-0000000000aa';
      const leg = { asset: ` ${id} `, quantity: '1' };
      const bought = { type: 'transfer_in', executed_at: '2024-01-31T09:30:00Z' };
      await api.call('POST', `${portfolio}/transactions`, {
        body: { ...bought, received: leg, fee: { ...leg, value: null } },
      });
      expect(written[0]?.received).to.include({ asset: id });
      expect(written[0]?.fee).to.include({ asset: id });
      const alert = { kind: 'price', coin: id, direction: 'above', threshold: '1' };
      const made = await api.call('POST', '/api/v1/alerts', { body: alert });
      expect(((await made.json()) as { data: object }).data).to.include({ coin: id });
    });
  }

  it('are read without case and outer blanks where none is written so', async () => {
    const one = await api.call('GET', '/api/v1/crypto/%20BITCOIN%20');
    expect(((await one.json()) as { data: object }).data).to.include({ id: 'bitcoin' });
    const price = await api.call('GET', '/api/v3/simple/price?vs_currencies=usd&ids=%201MOVE%20Token%20');
    expect(await price.json()).to.deep.equal({ '1move token': { usd: 67_187.34 } });
  });

  it('have no comma: such a one is refused by its name', async () => {
    const bulk = await api.call('POST', '/api/v1/crypto/bulk', {
      body: { coins: ['bitcoin', 'bitcoin,ethereum'] },
    });
    expect(bulk.status).to.equal(422);
    const { error } = (await bulk.json()) as {
      error: { fields: readonly { field: string; message: string }[] };
    };
    expect(error.fields).to.have.length(1);
    expect(error.fields[0]).to.include({ field: 'coins[1]' });
    expect(error.fields[0]?.message).to.include('"bitcoin,ethereum" has a comma');
  });
});

describe('ids as the source lists them, in streams', () => {
  let api: SocketApi;
  let socket: TestSocket;

  beforeEach(async () => {
    api = await startSocketApi(undefined, { assets });
    api.tick(Object.fromEntries(odd.map((id, at) => [id, at + 1])));
    socket = await openSocket(api.base, { token: api.token });
  });
  afterEach(async () => {
    socket.ws.terminate();
    await api.close();
  });

  /** A stream up to its first prices, as text; the whole answer when it is refused. */
  async function startOf(path: string, body?: object): Promise<string> {
    const leaving = new AbortController();
    const response = await fetch(`${api.base}/api/v1/crypto/stream/${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' },
      signal: leaving.signal,
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (response.status !== 200 || /event: (price|portfolio)\n(.+\n)+\n/.test(text)) break;
    }
    leaving.abort();
    return text;
  }

  for (const id of odd) {
    it(`their prices are streamed: ${id}`, async () => {
      const requested = encodeURIComponent(`bitcoin, ${id}`);
      expect(await startOf(`prices?coins=${requested}`)).to.match(pricedAs(id));
      expect(await startOf('portfolio', { coins: [id] })).to.match(pricedAs(id));
      const holdings = [{ coin: id, quantity: '2' }];
      expect(await startOf('portfolio', { holdings })).to.match(pricedAs(id));
    });

    it(`are subscribed to and let go over a WebSocket: ${id}`, async () => {
      expect(await socket.ask({ action: 'subscribe', coins: [id] })).to.include({ coins: 1 });
      const { data } = await socket.find('its price', ({ type }) => type === 'price');
      expect(data[0]).to.include({ id, price: odd.indexOf(id) + 1 });
      api.skip(2_000);
      api.tick({ [id]: 50 });
      const channel = (): boolean =>
        socket.messages.some(({ type, data: reported }) => type === 'price' && reported[0].price === 50);
      await waitFor(channel, { what: 'the news of it' });
      expect(await socket.ask({ action: 'unsubscribe', coins: [` ${id} `] })).to.include({ coins: 0 });
      expect(api.hub.watched()).to.equal(0);
    });
  }

  it('are read without case where none is written so, and refused by name with a comma', async () => {
    expect(await startOf('portfolio', { coins: [' 1MOVE Token '] })).to.match(pricedAs('1move token'));
    await socket.ask({ action: 'subscribe', coins: ['BoringDAO-[OLD]'] });
    const { data } = await socket.find('its price', ({ type }) => type === 'price');
    expect(data[0]).to.include({ id: 'boringdao-[old]' });
    expect(await startOf('portfolio', { coins: ['a,b'] })).to.include('"a,b\\" has a comma');
    const refused = JSON.stringify(await socket.ask({ action: 'subscribe', coins: ['a,b'] }));
    expect(refused).to.include('a,b').and.to.include('has a comma');
  });
});

/** An event in which this id has a price. */
const pricedAs = (id: string): RegExp =>
  new RegExp(`"id":"${id.replaceAll(/[[\]]/g, String.raw`\$&`)}"[^}]*"price":`);
