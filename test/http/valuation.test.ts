import { expect } from 'chai';
import type { PortfolioSnapshot } from '../../src/features/portfolios/queries/portfolio-snapshots.ts';
import { dayNumber } from '../../src/features/portfolios/ledger/days.ts';
import type { PortfolioService } from '../../src/features/portfolios/portfolio-service.ts';
import type { DailyQuestion } from '../../src/features/portfolios/valuation/value-history-reader.ts';
import { heldAsset, MadeUpBooks, portfolioId } from './support/made-up-books.ts';
import { startApi, type TestApi } from './support/ports.ts';
import { priced } from '../support/quotes.ts';

const path = `/api/v1/portfolios/${portfolioId}`;

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
async function read(response: Response): Promise<any> {
  return JSON.parse(await response.text());
}

describe('values of portfolios over HTTP', () => {
  let api: TestApi;
  let books: MadeUpBooks;
  let questions: DailyQuestion[];
  let listed: Parameters<PortfolioService['portfolioSnapshots']['list']>[0][];
  let snapshots: PortfolioSnapshot[];

  beforeEach(async () => {
    books = new MadeUpBooks();
    questions = [];
    listed = [];
    snapshots = [];
    api = await startApi({
      ...books.deps(),
      valueHistory: {
        daily: (question) => {
          questions.push(question);
          return Promise.resolve({
            booksVersion: 4,
            at: 0,
            requested: ['ethereum'],
            carriedDays: 1,
            unknownDays: 1,
            unvaluedTransfers: 2,
            gaps: [{ assetId: 'ethereum', carried: 1, unpriced: 1 }],
            points: [
              {
                day: dayNumber('2026-01-31'),
                value: null,
                costBasis: null,
                inflow: 5n * 10n ** 17n,
                outflow: 0n,
                carried: 1,
              },
            ],
          });
        },
      },
      portfolioSnapshots: {
        list: (requested) => {
          listed.push(requested);
          return Promise.resolve(snapshots);
        },
      },
    });
  });
  afterEach(async () => {
    await api.close(0);
  });

  function observe(assetId: string, price: number, state: 'fresh' | 'stale' = 'fresh'): void {
    const quote = priced(assetId, price, { asOf: '2026-01-01T00:00:00.000Z', receivedAt: 0 });
    books.readings.set(assetId, { assetId, state, quote });
  }

  it('values what is held to the last digit, with one read of the books and one of quotes', async () => {
    books.assets = [
      heldAsset('bitcoin', '0.5', '10000'),
      heldAsset('dogecoin', '0', '0'),
      heldAsset('shiba-inu', '30000000', '100'),
    ];
    observe('bitcoin', 60_000.3);
    observe('shiba-inu', 1e-7, 'stale');
    const response = await api.call('GET', `${path}/valuation`);
    expect([response.status, response.headers.get('cache-control')]).to.deep.equal([
      200,
      'private, no-cache',
    ]);
    const { data } = await read(response);
    expect(data).to.deep.include({
      portfolio: portfolioId,
      currency: 'usd',
      books_version: 1,
      state: 'stale',
      complete: true,
      missing: [],
      market_value: '30003.15',
      cost_basis: '10100',
      unrealised: '19903.15',
      unrealised_percent: '197.0609',
      realised: '0',
      total_gain: '19903.15',
    });
    expect(data.positions[1]).to.deep.equal({
      asset: 'shiba-inu',
      quantity: '30000000',
      price: 1e-7,
      market_value: '3',
      cost_basis: '100',
      unrealised: '-97',
      unrealised_percent: '-97',
      realised: '0',
      weight: '0.0001',
      state: 'stale',
      as_of: '2026-01-01T00:00:00.000Z',
      received_at: '1970-01-01T00:00:00.000Z',
      source: 'test',
    });
    expect(books.reads).to.equal(1);
    const [requested, ...others] = books.requested;
    expect(requested).to.deep.include({ currency: 'usd', assetIds: ['bitcoin', 'shiba-inu'], waitMs: 50 });
    expect([requested!.requester?.userId, others]).to.deep.equal([books.portfolio.userId, []]);
  });

  it('says what is missing, and never takes it for 0', async () => {
    books.assets = [heldAsset('bitcoin', '1', '7'), heldAsset('nameless', '1000', '5')];
    observe('bitcoin', 10);
    const { data } = await read(await api.call('GET', `${path}/valuation`));
    expect(data).to.deep.include({
      state: 'partial',
      complete: false,
      missing: ['nameless'],
      market_value: '10',
      unrealised: '3',
      unrealised_percent: '42.8571',
    });
    expect(data.positions[1]).to.deep.include({
      state: 'missing',
      price: null,
      market_value: null,
      unrealised: null,
      weight: null,
    });
    books.readings.clear();
    const nothing = await read(await api.call('GET', `${path}/valuation`));
    expect([nothing.data.market_value, nothing.data.total_gain]).to.deep.equal([null, null]);
  });

  it('asks for no quotes when nothing is held, which is worth 0', async () => {
    books.assets = [heldAsset('bitcoin', '0')];
    const { data } = await read(await api.call('GET', `${path}/valuation`));
    expect([data.market_value, data.complete, data.positions]).to.deep.equal(['0', true, []]);
    expect(books.requested).to.deep.equal([]);
  });

  it('hides portfolios of others, from admins too, on every path', async () => {
    books.portfolio = { ...books.portfolio, userId: '01934c2a-0000-7000-8000-000000000002' };
    for (const suffix of ['valuation', 'history', 'history?interval=snapshot', 'stream'])
      for (const token of [api.token, api.adminToken]) {
        const headers = { authorization: `Bearer ${token}` };
        const response = await api.call('GET', `${path}/${suffix}`, { headers });
        expect(response.status, suffix).to.equal(404);
        expect((await read(response)).error.code).to.equal('portfolio_not_found');
      }
    expect((await api.call('GET', '/api/v1/portfolios/1/valuation')).status).to.equal(404);
    expect([questions, listed]).to.deep.equal([[], []]);
  });

  it('tells the days of a range, 30 unless asked otherwise, with what they lack', async () => {
    const { data } = await read(await api.call('GET', `${path}/history`));
    expect(questions.map(({ range }) => range)).to.deep.equal(['30d']);
    expect(data).to.deep.include({
      range: '30d',
      interval: '1d',
      time_zone: 'UTC',
      days_carried: 1,
      days_unknown: 1,
      transfers_without_value: 2,
      gaps: [{ asset: 'ethereum', days_carried: 1, days_unknown: 1, asked: true }],
    });
    expect(data.points).to.deep.equal([
      { day: '2026-01-31', value: null, cost_basis: null, inflow: '0.5', outflow: '0', carried: 1 },
    ]);
    await api.call('GET', `${path}/history?range=max`);
    expect(questions.at(-1)?.range).to.equal('max');
  });

  it('tells stored snapshots of a range, and whether older ones were left out', async () => {
    const day = new Date().toISOString().slice(0, 10);
    const snapshot: PortfolioSnapshot = {
      portfolioId,
      kind: 'change',
      at: new Date('2026-01-01T10:00:00.123Z'),
      day: '2026-01-01',
      currency: 'usd',
      value: 15n * 10n ** 17n,
      costBasis: 10n ** 18n,
      realised: 0n,
      missing: ['nameless'],
      booksVersion: 3,
    };
    snapshots = [snapshot];
    const { data } = await read(await api.call('GET', `${path}/history?range=1d&interval=snapshot`));
    expect(listed).to.deep.equal([{ portfolioId, firstDay: day, limit: 2_001 }]);
    expect(data.truncated).to.equal(false);
    expect(data.points).to.deep.equal([
      {
        kind: 'change',
        at: '2026-01-01T10:00:00.123Z',
        day: '2026-01-01',
        currency: 'usd',
        value: '1.5',
        cost_basis: '1',
        realised: '0',
        complete: false,
        missing: ['nameless'],
        books_version: 3,
      },
    ]);
    snapshots = Array.from({ length: 2_001 }, (_, index) => ({ ...snapshot, booksVersion: index }));
    const cut = await read(await api.call('GET', `${path}/history?range=max&interval=snapshot`));
    expect([cut.data.truncated, cut.data.points.length, cut.data.points[0].books_version]).to.deep.equal([
      true,
      2_000,
      1,
    ]);
  });

  for (const [query, field] of [
    ['range=2d', 'query.range'],
    ['range=1d&range=7d', 'query.range'],
    ['interval=1h', 'query.interval'],
    ['intervall=1d', 'query'],
  ] as const)
    it(`refuses ?${query} by its field`, async () => {
      const response = await api.call('GET', `${path}/history?${query}`);
      expect(response.status).to.equal(422);
      const { error } = await read(response);
      expect(error.fields[0].field).to.match(new RegExp(`^${field}`));
    });

  it('refuses a stream by its field before it is one', async () => {
    for (const query of ['interval=0', 'max_updates=0', 'coins=bitcoin'])
      expect((await api.call('GET', `${path}/stream?${query}`)).status, query).to.equal(422);
    expect(api.streams.opened).to.deep.equal([]);
  });
});
