import { expect } from 'chai';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

describe('assets by symbol, end to end', () => {
  let stack: Stack;
  let user: ApiClient;

  before(async function () {
    this.timeout(120_000);
    const environment = { ASSET_SYNC: 'daily', ASSET_RANK_PAGES: '1' };
    stack = await startStack({ apis: 2, workers: 1, market: { madeUpAssets: 500 }, environment });
    user = await newUser(stack.apis[0]!.url);
  });
  after(() => stack.stop());

  it('fetches list and ranks by itself, in every API process, with one call each', async () => {
    for (const { url } of stack.apis) {
      const other = await newUser(url);
      const first = await waitFor(
        async () => {
          const found = (await other.call('GET', '/crypto/search?q=btc')).body?.data[0];
          return found?.rank === 1 && found;
        },
        { what: 'the rank of bitcoin', timeoutMs: 60_000 },
      );
      expect(first).to.include({ id: 'bitcoin', symbol: 'btc', name: 'Bitcoin' });
    }
    expect(stack.market.calls().map(({ path }) => path)).to.deep.equal(['/coins/list', '/coins/markets']);
  });

  it('answers a bulk job by symbols, and shares its work with one by ids', async () => {
    const bySymbol = { symbols: ['BTC', 'nobody-has-it'], timeout: 20 };
    const [named, plain] = await Promise.all([
      user.call('POST', '/crypto/bulk', { body: bySymbol, timeoutMs: 30_000 }),
      user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'], timeout: 20 }, timeoutMs: 30_000 }),
    ]);
    expect([named.status, plain.status]).to.deep.equal([200, 200]);
    const [btc, nobody] = named.body?.data.resolved;
    expect(btc).to.deep.include({ symbol: 'BTC', id: 'bitcoin', rank: 1 });
    expect(btc.others).to.be.greaterThan(0);
    expect(nobody).to.deep.include({ symbol: 'nobody-has-it', id: null });
    expect(named.body?.data).to.include({ success_count: 1, error_count: 1 });
    expect(named.body?.data.portfolio[0]).to.include({ id: 'bitcoin' });
    expect(plain.body?.data)
      .to.include({ success_count: 1, error_count: 0 })
      .and.not.have.property('resolved');
  });
});
