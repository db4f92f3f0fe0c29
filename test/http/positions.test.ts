/* eslint-disable @typescript-eslint/no-explicit-any -- answers of every shape are looked into */
/** Positions, lots and realised gains as their owner sees them: the real application over real books. */
import { expect } from 'chai';
import type { JobRecord } from '../../src/domain/job.ts';
import { as, newPerson, type Answer, type Person } from './support/attack.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';
import { jobRecord } from './support/ports.ts';

const leg = (quantity: string) => ({ asset: 'bitcoin', quantity });
const bought = (day: string, quantity: string, value: string) => ({
  type: 'buy',
  executed_at: `${day}T12:00:00Z`,
  received: leg(quantity),
  value,
});
const sold = (at: string, quantity: string, value: string) => ({
  type: 'sell',
  executed_at: at.includes('T') ? at : `${at}T12:00:00Z`,
  sent: leg(quantity),
  value,
});

describe('positions over HTTP', () => {
  let api: AccessApi;
  let joe: Person;
  let path: string;

  before(async () => {
    api = await startAccessApi();
    joe = await newPerson(api, 'joe');
  });
  after(() => api.end());

  const ask: ReturnType<typeof as> = (...request) => as(api, joe.token)(...request);
  const data = async (below: string): Promise<any> => {
    const answer = await ask('GET', path + below);
    expect(answer.status, answer.text).to.equal(200);
    return answer.body.data;
  };

  async function portfolio(method: string, transactions: readonly object[], zone = 'UTC'): Promise<void> {
    const made = await ask('POST', '/portfolios', { body: { name: 'mine', method, time_zone: zone } });
    path = `/portfolios/${made.body.data.id}`;
    const answer = await ask('POST', `${path}/transactions/bulk`, { body: { transactions } });
    expect(answer.status, answer.text).to.be.oneOf([200, 201]);
  }

  const history = [
    bought('2023-01-10', '1', '10000'),
    bought('2023-02-10', '2', '26000'),
    sold('2023-12-31', '1.5', '30000'),
    sold('2024-01-01', '0.3', '9000'),
  ];

  it('say what is held, what it cost and what was realised, by the method of the portfolio', async () => {
    await portfolio('fifo', history);
    const { positions, totals, ...head } = await data('/positions');
    expect(head).to.include({ currency: 'usd', method: 'fifo' });
    // 10000 + 0.5 × 13000, and 0.3 × 13000, of two lots.
    expect(positions).to.deep.equal([
      {
        asset: 'bitcoin',
        quantity: '1.2',
        cost_basis: '15600',
        average_cost: '13000',
        open_lots: 1,
        acquired: '36000',
        disposed: '20400',
        transferred_out: '0',
        proceeds: '39000',
        realised: '18600',
      },
    ]);
    expect(totals).to.deep.equal({ cost_basis: '15600', realised: '18600', count: 1 });
    await ask('PATCH', path, { body: { method: 'lifo' }, headers: { 'if-match': '*' } });
    // 1.5 × 13000, and 0.3 × 13000.
    expect((await data('/positions')).positions[0]).to.include({ disposed: '23400', open_lots: 2 });
  });

  it('of an asset that went are shown when they are asked for', async () => {
    await portfolio('average', [bought('2023-01-10', '1', '10000'), sold('2023-12-31', '1', '30000')]);
    expect((await data('/positions')).positions).to.deep.equal([]);
    expect((await data('/positions?status=closed')).positions[0]).to.include({
      quantity: '0',
      average_cost: null,
      realised: '20000',
    });
    expect((await data('/positions?status=all')).positions).to.have.lengthOf(1);
  });

  it('are not sent again until a transaction has changed', async () => {
    await portfolio('fifo', history);
    for (const below of ['/positions', '/lots', '/realised']) {
      const etag = (await ask('GET', path + below)).headers.get('etag')!;
      const headers = { 'if-none-match': etag };
      const again = await ask('GET', path + below, { headers });
      expect([again.status, again.text]).to.deep.equal([304, '']);
      await ask('POST', `${path}/transactions`, { body: bought('2024-02-01', '1', '1') });
      expect((await ask('GET', path + below, { headers })).status).to.equal(200);
    }
  });

  it('consist of lots, page by page, the oldest first', async () => {
    await portfolio('hifo', history);
    const page = await data('/lots?limit=1&page=2');
    expect(page).to.include({ total: 2, page: 2, limit: 1, total_pages: 2 });
    const [first] = (await data('/lots?limit=1')).data;
    expect(first).to.include({
      asset: 'bitcoin',
      acquired_at: '2023-01-10T12:00:00.000Z',
      quantity: '1',
      cost_basis: '10000',
      unit_cost: '10000',
    });
    expect(page.data[0]).to.include({ acquired_at: '2023-02-10T12:00:00.000Z', quantity: '0.2' });
    expect((await data('/lots?page=3')).data).to.deep.equal([]);
    expect((await data('/lots?asset=cardano')).data).to.deep.equal([]);
    expect((await data('/lots?asset=bitcoin')).data).to.have.lengthOf(2);
  });

  it('of a pool have the pool as their only lot', async () => {
    await portfolio('average', history);
    expect((await data('/lots')).data).to.deep.equal([
      {
        asset: 'bitcoin',
        transaction_id: null,
        acquired_at: null,
        quantity: '1.2',
        cost_basis: '14400',
        unit_cost: '12000',
      },
    ]);
  });

  it('were realised lot by lot, with totals of all pages', async () => {
    await portfolio('fifo', history);
    const { data: rows, totals, total } = await data('/realised?limit=2');
    expect(rows.map((row: any) => [row.disposed_at.slice(0, 10), row.quantity, row.gain])).to.deep.equal([
      ['2023-12-31', '1', '10000'],
      ['2023-12-31', '0.5', '3500'],
    ]);
    expect(rows[0]).to.include({
      acquired_at: '2023-01-10T12:00:00.000Z',
      held_days: 355,
      proceeds: '20000',
      cost_basis: '10000',
      rule: 'lot',
      provisional: false,
    });
    expect(total).to.equal(3);
    expect(totals).to.deep.equal({
      count: 3,
      provisional: 0,
      proceeds: '39000',
      cost_basis: '20400',
      gain: '18600',
    });
  });

  it('were realised in years and days of the time zone of the portfolio', async () => {
    // The last hour of 2023 in New York is 2024 in UTC.
    const late = sold('2024-01-01T04:30:00Z', '1', '20000');
    await portfolio(
      'fifo',
      [bought('2023-01-10', '3', '3'), late, sold('2024-01-01T05:00:00Z', '1', '1')],
      'America/New_York',
    );
    const counts = async (query: string): Promise<number> => (await data(`/realised?${query}`)).totals.count;
    expect(await counts('year=2023')).to.equal(1);
    expect(await counts('year=2024')).to.equal(1);
    expect(await counts('from=2023-12-31&to=2023-12-31')).to.equal(1);
    expect(await counts('from=2023-12-31')).to.equal(2);
    expect(await counts('to=2023-12-30')).to.equal(0);
    expect(await counts('asset=cardano')).to.equal(0);
  });

  it('are told which question was wrong', async () => {
    await portfolio('fifo', history);
    const refused: [string, string][] = [
      ['/positions?status=old', 'query.status'],
      ['/lots?limit=1001', 'query.limit'],
      ['/realised?from=2024-02-30', 'query.from'],
      ['/realised?from=2024-02-02&to=2024-02-01', 'query.to'],
      ['/realised?year=2024&to=2024-02-01', 'query.year'],
      ['/realised?asset=', 'query.asset'],
    ];
    for (const [below, field] of refused) {
      const answer: Answer = await ask('GET', path + below);
      expect(answer.status, below).to.equal(422);
      expect(answer.body.error.fields[0].field).to.equal(field);
    }
  });

  it('are private: others, admins too, find nothing', async () => {
    await portfolio('fifo', history);
    const others = [await newPerson(api, 'eve'), await newPerson(api, 'root', 'admin')];
    for (const { token } of others) {
      for (const below of ['/positions', '/lots', '/realised']) {
        const answer = await as(api, token)('GET', path + below);
        expect([answer.status, answer.body.error.code]).to.deep.equal([404, 'portfolio_not_found']);
      }
      expect((await as(api, token)('POST', `${path}/rebuild`, { body: {} })).status).to.equal(404);
    }
    expect((await ask('GET', '/portfolios/nothing/positions')).status).to.equal(404);
  });

  it('are rebuilt by a job, whose end can be waited for', async () => {
    await portfolio('fifo', history);
    const rebuild = (body: object): Promise<Answer> => ask('POST', `${path}/rebuild`, { body });
    const accepted = await rebuild({});
    expect(accepted.status).to.equal(202);
    expect(accepted.headers.get('location')).to.match(/^\/api\/v1\/jobs\//);
    const [submitted] = api.clientJobs.submitted.slice(-1);
    expect(submitted).to.deep.include({
      name: 'books.rebuild',
      userId: joe.id,
      submission: { portfolioId: path.split('/').at(-1), currency: 'usd', method: 'fifo' },
    });
    const ended: JobRecord = jobRecord({ state: 'completed', resultJson: '{"identical":true}' });
    api.clientJobs.ended = ended;
    const waited = await rebuild({ timeout: 5 });
    expect([waited.status, waited.body.data]).to.deep.equal([200, { identical: true }]);
    expect((await rebuild({ method: 'lifo' })).status).to.equal(422);
  });
});
