import { expect } from 'chai';
import type { Knex } from 'knex';
import { createBookReading } from '../../../src/features/portfolios/queries/book-reading.ts';
import {
  createPortfolioSnapshots,
  type PortfolioSnapshots,
} from '../../../src/features/portfolios/queries/portfolio-snapshots.ts';
import type { Portfolio } from '../../../src/features/portfolios/ledger/portfolio.ts';
import { formatAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import type { QuoteReading } from '../../../src/domain/cached-quote.ts';
import { priced } from '../../support/quotes.ts';
import {
  createSnapshotTaker,
  type WantedQuotes,
} from '../../../src/features/portfolios/valuation/snapshot-taker.ts';
import { openPerformanceRuns, type PerformanceRuns } from '../../support/performance-run.ts';

const dayMs = 86_400_000;

/** The zone in which a day has just ended: it has an hour from 00:00 to 00:59 now. */
function zoneAtMidnight(): string {
  const hour = new Date().getUTCHours();
  // Signs of these names are turned round: Etc/GMT+5 is five hours behind.
  return hour <= 12 ? `Etc/GMT+${hour}` : `Etc/GMT-${24 - hour}`;
}

function zoneAtNoon(): string {
  const ahead = 12 - new Date().getUTCHours();
  return ahead <= 0 ? `Etc/GMT+${-ahead}` : `Etc/GMT-${ahead}`;
}

describe('snapshots of portfolios', () => {
  let runs: PerformanceRuns;
  let knex: Knex;
  let snapshots: PortfolioSnapshots;
  let taker: ReturnType<typeof createSnapshotTaker>;
  let quotes: Map<string, QuoteReading>;
  let wanted: WantedQuotes[];
  let underWay: number;

  before(async () => {
    runs = await openPerformanceRuns();
    ({ knex } = runs.store);
    snapshots = createPortfolioSnapshots(knex);
  });
  beforeEach(async () => {
    await knex('portfolios').delete();
    await knex('positions').delete();
    quotes = new Map();
    wanted = [];
    underWay = 1;
    const known = (_currency: string, ids: readonly string[]) =>
      Promise.resolve(new Map([...quotes].filter(([id]) => ids.includes(id))));
    taker = createSnapshotTaker({
      portfolios: createBookReading(knex),
      snapshots,
      cached: known,
      want: (each) => {
        wanted.push(each);
        return Promise.resolve(underWay);
      },
      clock: { now: () => Date.now() },
    });
  });
  after(() => runs.close());

  function observe(assetId: string, price: number, receivedAt = Date.now()): void {
    const quote = priced(assetId, price, { receivedAt });
    quotes.set(assetId, { assetId, state: 'stale', quote });
  }

  async function holding(
    held: Readonly<Record<string, string>>,
    timeZone = zoneAtMidnight(),
  ): Promise<Portfolio> {
    const portfolio = await runs.portfolio({ timeZone });
    for (const [asset, quantity] of Object.entries(held))
      await knex('positions').insert({
        portfolio_id: portfolio.id,
        asset_id: asset,
        count: 1,
        quantity,
        acquired: '100.5',
        consumed: '20',
        left_basis: '0.5',
        proceeds: '50',
        open_lots: 1,
      });
    return portfolio;
  }

  const stored = (portfolio: Portfolio, limit = 10) =>
    snapshots.list({ portfolioId: portfolio.id, firstDay: '2000-01-01', limit });

  it('notes after a change what everything is worth, at stale quotes too, and what is missing', async () => {
    const portfolio = await holding({ bitcoin: '0.123456789012345678', ethereum: '3', nameless: '1' });
    observe('bitcoin', 1e-7);
    observe('ethereum', 2_000.1);
    underWay = 0;
    expect(await taker.ofChange(portfolio.id, true)).to.equal('stored');
    const [only, ...others] = await stored(portfolio);
    expect(others).to.deep.equal([]);
    expect(only).to.deep.include({ kind: 'change', missing: ['nameless'], currency: 'usd', booksVersion: 1 });
    expect(formatAmount(only!.value!)).to.equal('6000.300000012345678901');
    expect([only!.costBasis, only!.realised].map(formatAmount)).to.deep.equal(['240', '90']);
  });

  it('notes a change on the day that it is where the portfolio is', async () => {
    // Fourteen hours ahead and twelve behind: never the same day, and at no hour both that of UTC.
    for (const [zone, hours] of [
      ['Etc/GMT-14', 14],
      ['Etc/GMT+12', -12],
    ] as const) {
      const portfolio = await holding({ bitcoin: '1' }, zone);
      observe('bitcoin', 10);
      expect(await taker.ofChange(portfolio.id, false)).to.equal('stored');
      const [only] = await stored(portfolio);
      const there = new Date(only!.at.getTime() + hours * 3_600_000);
      expect(only!.day, zone).to.equal(there.toISOString().slice(0, 10));
    }
  });

  it('asks for missing quotes once, for the owner, and then takes what there is', async () => {
    const portfolio = await holding({ bitcoin: '1', ethereum: '1' });
    observe('ethereum', 10);
    expect(await taker.ofChange(portfolio.id, true)).to.equal('wanting');
    expect(wanted).to.deep.equal([{ currency: 'usd', assetIds: ['bitcoin'], requester: portfolio.userId }]);
    expect(await stored(portfolio)).to.deep.equal([]);
    expect(await taker.ofChange(portfolio.id, false)).to.equal('stored');
    expect((await stored(portfolio)).map(({ missing }) => missing)).to.deep.equal([['bitcoin']]);
  });

  it('takes none of books that are behind, and of portfolios that are gone', async () => {
    const portfolio = await holding({ bitcoin: '1' });
    await knex('portfolios').where({ id: portfolio.id }).update({ books_version: 2 });
    expect(await taker.ofChange(portfolio.id, false)).to.equal('none');
    await knex('portfolios')
      .where({ id: portfolio.id })
      .update({ booked_version: 2, deleted_at: new Date() });
    expect(await taker.ofChange(portfolio.id, false)).to.equal('none');
    expect(await taker.ofEndedDays()).to.equal(0);
  });

  it('notes once what is held where a day has just ended, without asking for anything', async () => {
    const ended = await holding({ bitcoin: '2' });
    const noon = await holding({ bitcoin: '2' }, zoneAtNoon());
    const empty = await holding({ bitcoin: '0' });
    observe('bitcoin', 30_000);
    expect(await taker.ofEndedDays()).to.equal(1);
    expect(await taker.ofEndedDays()).to.equal(0);
    const [daily, ...others] = await stored(ended);
    expect(others).to.deep.equal([]);
    const offsetMs = Math.round((Date.now() % dayMs) / 3_600_000 - 0.5) * 3_600_000;
    const shift = new Date().getUTCHours() <= 12 ? -offsetMs : dayMs - offsetMs;
    const yesterday = new Date(Date.now() + shift - dayMs).toISOString().slice(0, 10);
    expect(daily).to.deep.include({ kind: 'daily', day: yesterday, missing: [] });
    expect(formatAmount(daily!.value!)).to.equal('60000');
    expect([await stored(noon), await stored(empty), wanted]).to.deep.equal([[], [], []]);
  });

  it('takes those of everybody else though a zone is not known any more', async () => {
    const ended = await holding({ bitcoin: '2' });
    const others = [await holding({ bitcoin: '1' }), await holding({ bitcoin: '1' })];
    // The first is known to the runtime and not to Postgres, the second to neither.
    for (const [index, zone] of ['US/Pacific-New', 'Mars/Base'].entries())
      await knex('portfolios').where({ id: others[index]!.id }).update({ time_zone: zone });
    observe('bitcoin', 30_000);
    await taker.ofEndedDays();
    expect((await stored(ended)).map(({ kind }) => kind)).to.deep.equal(['daily']);
  });

  it('does not take a quote of the day before last for the value of a day', async () => {
    const portfolio = await holding({ bitcoin: '2' });
    observe('bitcoin', 30_000, Date.now() - 25 * 3_600_000);
    expect(await taker.ofEndedDays()).to.equal(1);
    expect(await stored(portfolio)).to.have.nested.property('[0].value', null);
    expect((await stored(portfolio))[0]!.missing).to.deep.equal(['bitcoin']);
  });

  it('takes a quote of the day before for the value of a day', async () => {
    const portfolio = await holding({ bitcoin: '2' });
    observe('bitcoin', 30_000, Date.now() - 23 * 3_600_000);
    await taker.ofEndedDays();
    const [only] = await stored(portfolio);
    expect(only!.missing).to.deep.equal([]);
    expect(formatAmount(only!.value!)).to.equal('60000');
  });

  it('lists the newest of a range, and deletes changes after 30 days, days never', async () => {
    const portfolio = await holding({});
    const at = (ago: number) => new Date(Date.now() - ago * dayMs);
    const base = { portfolioId: portfolio.id, currency: 'usd', value: 1n, costBasis: 1n, realised: 0n };
    const of = (kind: 'daily' | 'change', ago: number) => ({
      ...base,
      kind,
      at: at(ago),
      day: at(ago).toISOString().slice(0, 10),
      missing: [],
      booksVersion: 1,
    });
    await snapshots.store([
      of('change', 31),
      of('change', 29),
      of('daily', 400),
      of('daily', 2),
      of('change', 1),
    ]);
    const kinds = async (limit: number) => (await stored(portfolio, limit)).map(({ kind }) => kind);
    expect(await kinds(10)).to.deep.equal(['daily', 'change', 'change', 'daily', 'change']);
    expect(await kinds(2)).to.deep.equal(['daily', 'change']);
    const newest = await stored(portfolio, 2);
    expect(newest.map(({ day }) => day)).to.deep.equal([2, 1].map((ago) => of('change', ago).day));
    expect(await taker.purge()).to.equal(1);
    expect(await kinds(10)).to.deep.equal(['daily', 'change', 'daily', 'change']);
    // A day has one, the first.
    await snapshots.store([{ ...of('daily', 2), at: at(1), value: 5n }]);
    expect((await stored(portfolio)).filter(({ kind }) => kind === 'daily')).to.have.lengthOf(2);
  });
});
