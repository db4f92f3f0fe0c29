/** Alerts on changes over a window, and on the value of a portfolio. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createCandleQueries } from '../../../src/features/history/queries/candles.ts';
import { createCandlePartitions } from '../../../src/features/history/queries/candle-partitions.ts';
import { createPortfolioQueries } from '../../../src/features/portfolios/queries/portfolios.ts';
import { candleOf } from '../../../src/domain/candle.ts';
import { granularityMs } from '../../../src/domain/history.ts';
import { waitFor } from '../../support/wait-for.ts';
import { openAlertRig, type AlertRig } from './alert-rig.ts';

const hourMs = 3_600_000;

describe('alerts on changes and values', () => {
  let rig: AlertRig;

  before(async () => {
    rig = await openAlertRig();
  });
  afterEach(() => rig.reset());
  after(() => rig.close());

  const armed = (id: string) => rig.until(id, ({ state }) => state === 'armed', 'the alert to be armed');
  const fired = (id: string) => rig.until(id, ({ state }) => state === 'fired', 'the alert to fire');

  async function observed(assetId: string, price: number, at: number): Promise<void> {
    await createCandlePartitions(rig.knex).ensure({ granularity: '5m', from: at, to: at });
    const observation = {
      assetId,
      currency: 'usd',
      at,
      price,
      marketCap: null,
      volume: null,
      source: 'simulated',
    };
    await createCandleQueries(rig.knex).mergeLive([candleOf(observation, granularityMs['5m'])]);
  }

  const change = {
    kind: 'change',
    windowSeconds: 3_600,
    direction: 'below',
    threshold: '-5',
  } as const;

  it('fire when a price has changed by so much since the beginning of the window', async () => {
    await observed('bitcoin', 200, Date.now() - hourMs - 60_000);
    await observed('bitcoin', 500, Date.now() - hourMs + 60_000);
    await rig.start();
    const { id } = await rig.make(change);
    await rig.tick('bitcoin', 191);
    await armed(id);
    await rig.tick('bitcoin', 190);
    await fired(id);
    expect(await rig.firedAt(id)).to.deep.equal(['-5']);
    const [firing] = await rig.firings.after(rig.userId, '00000000-0000-0000-0000-000000000000', 1);
    expect(JSON.parse(firing?.body ?? '')).to.have.nested.property('reference.price', '200');
  });

  it('are not evaluated without a price of the beginning of the window, and say so', async () => {
    await observed('bitcoin', 200, Date.now() - 3 * hourMs);
    await observed('bitcoin', 200, Date.now() - hourMs / 2);
    await rig.start();
    const { id } = await rig.make(change);
    await rig.tick('bitcoin', 1);
    const alert = await rig.until(id, ({ notEvaluated }) => notEvaluated !== null, 'the reason');
    expect([alert.notEvaluated, alert.state]).to.deep.equal(['no_reference', 'pending']);
  });

  async function addPortfolio(holdings: Readonly<Record<string, string>>): Promise<string> {
    const id = uuidv7();
    const fields = { name: 'Mine', base_currency: 'usd', method: 'fifo', time_zone: 'UTC' };
    await rig.knex('portfolios').insert({ id, user_id: rig.userId, ...fields });
    await hold(id, holdings);
    return id;
  }

  async function hold(id: string, holdings: Readonly<Record<string, string>>): Promise<void> {
    await rig.knex('positions').where({ portfolio_id: id }).delete();
    const sums = { acquired: '0', consumed: '0', left_basis: '0', proceeds: '0', open_lots: 1, count: 1 };
    for (const [assetId, quantity] of Object.entries(holdings))
      await rig.knex('positions').insert({ portfolio_id: id, asset_id: assetId, quantity, ...sums });
    await rig.bookChannel.publish(id);
  }

  const valueOf = (portfolioId: string) =>
    ({ kind: 'portfolio_value', assetId: null, portfolioId, threshold: '1000' }) as const;

  it('fire when a portfolio is worth so much, though nobody looks at it', async () => {
    const portfolioId = await addPortfolio({ bitcoin: '2', solana: '10', old: '0' });
    await rig.start();
    const { id } = await rig.make(valueOf(portfolioId));
    const wanted = (): string[] => rig.wants.flatMap(({ assetIds }) => assetIds);
    await waitFor(() => new Set(wanted()).size === 2, { what: 'what is held to be wanted' });
    expect(wanted()).to.include.members(['bitcoin', 'solana']);
    await rig.tick('bitcoin', 400);
    await rig.tick('solana', 19.99);
    await armed(id);
    await rig.tick('solana', 20);
    await fired(id);
    expect(await rig.firedAt(id)).to.deep.equal(['1000']);
  });

  it('fire when a transaction has changed what is held', async () => {
    const portfolioId = await addPortfolio({ bitcoin: '2' });
    await rig.start();
    const { id } = await rig.make(valueOf(portfolioId));
    await rig.tick('bitcoin', 400);
    await armed(id);
    await hold(portfolioId, { bitcoin: '3' });
    await fired(id);
    expect(await rig.firedAt(id)).to.deep.equal(['1200']);
  });

  it('are not evaluated while an asset has no quote, and say so', async () => {
    const portfolioId = await addPortfolio({ bitcoin: '2', rare: '1' });
    await rig.start();
    const { id } = await rig.make({ ...valueOf(portfolioId), direction: 'below' });
    await rig.tick('bitcoin', 600);
    await rig.until(id, ({ notEvaluated }) => notEvaluated === 'incomplete', 'the reason');
    await rig.tick('rare', 1);
    const alert = await armed(id);
    expect(alert.notEvaluated).to.equal(null);
    expect(await rig.firedAt(id)).to.deep.equal([]);
  });

  it('go with their portfolio, and none is made of one that has gone', async () => {
    const portfolioId = await addPortfolio({});
    const made = await rig.make(valueOf(portfolioId));
    const other = await rig.make();
    await createPortfolioQueries(rig.knex).remove({ id: portfolioId, confirm: () => undefined });
    expect(await rig.alerts.find(made.id, made.userId)).to.equal(undefined);
    expect(await rig.alerts.find(other.id, other.userId)).to.include({ version: 1 });
    const refused = await rig.make(valueOf(portfolioId)).catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'portfolio_not_found');
  });

  it('wait for books that are behind', async () => {
    const portfolioId = await addPortfolio({ bitcoin: '2' });
    await rig.knex('portfolios').where({ id: portfolioId }).update({ books_version: 2 });
    await rig.start();
    const { id } = await rig.make(valueOf(portfolioId));
    await rig.tick('bitcoin', 400);
    await rig.until(id, ({ notEvaluated }) => notEvaluated === 'books_behind', 'the reason');
    await rig.knex('portfolios').where({ id: portfolioId }).update({ booked_version: 2 });
    await armed(id);
  });
});
