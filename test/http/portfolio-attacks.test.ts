/** What attackers have found in portfolios: zones that two programs know differently, odd texts, and keys that learn too much. */
import { expect } from 'chai';
import { startAccessApi, type AccessApi } from './support/access.ts';
import { as, newPerson, type Answer, type Person } from './support/attack.ts';
import { fakeAlerts, watchedPortfolioId, type FakeAlerts } from './support/fake-alerts.ts';

describe('portfolios under attack', () => {
  let api: AccessApi;
  let joe: Person;
  let alerts: FakeAlerts;

  before(async () => {
    api = await startAccessApi();
    joe = await newPerson(api, 'joe');
    alerts = fakeAlerts();
    // The routes hold the port of the stand-in: it is that which gets to do the work.
    Object.assign(api.deps.alerts, alerts.operations);
  });
  after(() => api.end());

  const ask: ReturnType<typeof as> = (...request) => as(api, joe.token)(...request);
  const make = (zone: string): Promise<Answer> =>
    ask('POST', '/portfolios', { body: { name: 'mine', time_zone: zone } });

  // Postgres does not know the first; it takes the others for other places than the runtime does.
  for (const zone of ['US/Pacific-New', 'SST', 'NST', 'BST', 'IST', 'AST', 'ACT', 'EST5EDT', 'GMT', '+01:00'])
    it(`${zone} is no time zone, neither of a new portfolio nor of one that there is`, async () => {
      const { id } = (await make('UTC')).body.data;
      const changed = { body: { time_zone: zone }, headers: { 'if-match': '*' } };
      for (const refused of [await make(zone), await ask('PATCH', `/portfolios/${id}`, changed)]) {
        expect(refused.status, refused.text).to.equal(422);
        expect(refused.body.error.fields[0].field).to.equal('time_zone');
      }
    });

  it('time zones are kept under the name that both programs know', async () => {
    const kept = [];
    for (const zone of ['europe/BERLIN', 'utc', 'Etc/UTC', 'Asia/Kolkata', 'Etc/GMT+5'])
      kept.push((await make(zone)).body.data?.time_zone);
    expect(kept).to.deep.equal(['Europe/Berlin', 'UTC', 'UTC', 'Asia/Kolkata', 'Etc/GMT+5']);
  });

  it('a NUL in a query is bad input', async () => {
    const path = `/portfolios/${(await make('UTC')).body.data.id}`;
    for (const query of ['transactions?asset=%00', 'transactions?import_id=%00', 'lots?asset=%00'])
      expect((await ask('GET', `${path}/${query}`)).status, query).to.equal(422);
  });

  it('a key that may only write does not learn what a portfolio is worth', async () => {
    const value = {
      kind: 'portfolio_value',
      portfolio_id: watchedPortfolioId,
      direction: 'above',
      threshold: 1,
    };
    const { id } = (await ask('POST', '/alerts', { body: value })).body.data;
    const path = `/portfolios/${(await make('UTC')).body.data.id}`;
    const made = await ask('POST', '/api-keys', {
      body: { name: 'bot', scopes: ['portfolio:write', 'alerts:write'] },
    });
    const bot = as(api, made.body.data.key);
    const headers = { 'if-match': '*' };
    for (const refused of [
      await bot('POST', '/alerts', { body: value }),
      await bot('PATCH', `/alerts/${id}`, { body: { threshold: 2 }, headers }),
      await bot('PUT', `/alerts/${id}`, { body: { threshold: 2 }, headers }),
      await bot('POST', `/alerts/${id}/rearm`),
      await bot('POST', `${path}/performance`, { body: {}, headers: { prefer: 'wait=1' } }),
    ]) {
      expect(refused.status, refused.text).to.equal(403);
      expect(refused.text).to.include('portfolio:read');
    }
    const price = { kind: 'price', coin: 'bitcoin', direction: 'above', threshold: 1 };
    expect((await bot('POST', '/alerts', { body: price })).status).to.equal(201);
  });
});
