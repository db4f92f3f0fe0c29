/** Ids as price sources list them: blanks, brackets and capitals among them. */
import { expect } from 'chai';
import { checkTransaction } from '../../src/features/portfolios/ledger/check-transaction.ts';
import { noteListedIds } from '../../src/platform/http/fields.ts';
import { toCachedQuote } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';
import { startApi, type TestApi } from './support/ports.ts';

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

describe('ids as the source lists them', () => {
  let api: TestApi;

  beforeEach(async () => {
    noteListedIds([...odd, 'bitcoin']);
    api = await startApi();
    for (const assetId of [...odd, 'bitcoin']) {
      const reading = { assetId, state: 'fresh', quote: toCachedQuote(quoteOf(assetId)) } as const;
      api.market.readings.set(`usd:${assetId}`, reading);
      api.quotes.readings.set(assetId, reading);
    }
  });
  afterEach(async () => {
    noteListedIds([]);
    await api.close(0);
  });

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
      api.documents.readings.set(path, { state: 'fresh', document: { json, receivedAt: Date.now() } });
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
