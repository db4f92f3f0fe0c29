/** Routes of alerts: what is taken, what is refused, and whose they are. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { fakeAlerts, unpricedCoin, watchedPortfolioId, type FakeAlerts } from './support/fake-alerts.ts';
import { createTokens } from '../../src/features/accounts/tokens.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { testSecret } from './support/stand-in-access.ts';
import { RateLimitedError } from '../../src/domain/errors.ts';
import type { LimitPolicy } from '../../src/domain/rate-limit.ts';
import { createAlertQueries } from '../../src/features/alerts/queries/alerts.ts';
import { openDatabase } from '../../db/connection.ts';
import { createTestDatabase } from '../support/database.ts';
import { jobRecord, startApi, type TestApi } from './support/ports.ts';

const path = '/api/v1/alerts';
const price = { kind: 'price', coin: 'bitcoin', direction: 'above', threshold: '100000' };

interface Answer {
  readonly data: Record<string, unknown>;
  readonly error: { readonly code: string; readonly fields: readonly { readonly field: string }[] };
}

describe('the routes of alerts', () => {
  let api: TestApi;
  let fake: FakeAlerts;
  /** What was charged for beginnings, and whether the allowance of them is spent. */
  const begins: LimitPolicy[] = [];
  let isSpent = false;
  const allowances = {
    take(policy: LimitPolicy) {
      if (policy.name === 'alert-begins') begins.push(policy);
      if (policy.name === 'alert-begins' && isSpent)
        throw new RateLimitedError('Too many', { retryAfterSeconds: 9 });
      return { policy, remaining: 1, resetSeconds: 60 };
    },
    isSpent: () => false,
  };

  before(async () => {
    fake = fakeAlerts(['bitcoin', 'ethereum', unpricedCoin]);
    api = await startApi({ alerts: fake.operations, allowances });
  });
  beforeEach(() => {
    fake.rows.clear();
    fake.firings.length = 0;
    fake.reported.length = 0;
    fake.pages.length = 0;
    begins.length = 0;
    isSpent = false;
  });
  after(() => api.close());

  const make = (body: object) => api.call('POST', path, { body });
  const dataOf = async (response: Response) => ((await response.json()) as Answer).data;
  const fieldsOf = async (response: Response) =>
    ((await response.json()) as Answer).error.fields.map(({ field }) => field);

  async function made(body: object = price): Promise<{ id: string; tag: string }> {
    const response = await make(body);
    expect(response.status).to.equal(201);
    const { id } = await dataOf(response);
    return { id: id as string, tag: response.headers.get('etag') ?? '' };
  }

  it('makes an alert, fills in what is usual, and says where it is', async () => {
    const response = await make({ ...price, threshold: '100000.50' });
    const alert = await dataOf(response);
    expect(response.status).to.equal(201);
    expect(response.headers.get('location')).to.equal(`${path}/${alert['id'] as string}`);
    expect(response.headers.get('etag')).to.equal('"1"');
    expect(alert).to.deep.include({
      kind: 'price',
      coin: 'bitcoin',
      currency: 'usd',
      direction: 'above',
      threshold: '100000.5',
      hysteresis: { percent: '1' },
      repeat: 'once',
      fire_if_true: false,
      url: null,
      state: 'pending',
      fired_count: 0,
    });
    expect(fake.reported).to.deep.equal([alert['id']]);
  });

  it('takes changes over a window and values of portfolios, the latter in their own currency', async () => {
    const change = await dataOf(
      await make({ ...price, kind: 'change', direction: 'below', threshold: -5, window: 3600 }),
    );
    expect(change).to.include({ kind: 'change', threshold: '-5', window: 3600 });
    const value = await make({
      kind: 'portfolio_value',
      portfolio_id: watchedPortfolioId,
      direction: 'above',
      threshold: 1,
    });
    expect(await dataOf(value)).to.include({ portfolio_id: watchedPortfolioId, currency: 'eur' });
  });

  const bad: readonly (readonly [string, object, readonly string[]])[] = [
    ['an unknown kind', { ...price, kind: 'volume' }, ['kind']],
    ['no coin', { ...price, coin: undefined }, ['coin']],
    ['a coin that nobody knows', { ...price, coin: 'no-such-coin' }, ['coin']],
    ['a coin without a price', { ...price, coin: unpricedCoin }, ['coin']],
    ['an unsupported currency', { ...price, currency: 'xyz' }, ['currency']],
    ['a threshold of zero', { ...price, threshold: 0 }, ['threshold']],
    ['a negative price', { ...price, threshold: '-1' }, ['threshold']],
    ['a threshold with an exponent', { ...price, threshold: '1e5' }, ['threshold']],
    ['a threshold of 40 digits', { ...price, threshold: '1'.repeat(40) }, ['threshold']],
    ['more digits than a number holds', { ...price, threshold: 0.1234567890123456 }, ['threshold']],
    ['a window without a change', { ...price, window: 3600 }, ['window']],
    ['a change without a window', { ...price, kind: 'change' }, ['window']],
    ['a window that is not offered', { ...price, kind: 'change', window: 61 }, ['window']],
    [
      'a fall by more than everything',
      { ...price, kind: 'change', window: 300, threshold: -100 },
      ['threshold'],
    ],
    ['a change of nothing', { ...price, kind: 'change', window: 300, threshold: 0 }, ['threshold']],
    [
      'a change beyond all bounds',
      { ...price, kind: 'change', window: 300, threshold: 1_000_001 },
      ['threshold'],
    ],
    [
      'a hysteresis of a change beyond all bounds',
      { ...price, kind: 'change', window: 300, threshold: 5, hysteresis: { absolute: 1_000_001 } },
      ['hysteresis.absolute'],
    ],
    ['a hysteresis of all per cent', { ...price, hysteresis: { percent: 100 } }, ['hysteresis.percent']],
    ['two hystereses', { ...price, hysteresis: { percent: 1, absolute: 1 } }, ['hysteresis']],
    ['a negative hysteresis', { ...price, hysteresis: { percent: -1 } }, ['hysteresis.percent']],
    ['a hysteresis of everything', { ...price, hysteresis: { absolute: 100000 } }, ['hysteresis.absolute']],
    ['a private URL', { ...price, url: 'https://127.0.0.1/hook' }, ['url']],
    ['a URL without encryption', { ...price, url: 'http://example.com/hook' }, ['url']],
    [
      'a coin beside a portfolio',
      { ...price, kind: 'portfolio_value', portfolio_id: watchedPortfolioId },
      ['coin'],
    ],
    ['a portfolio beside a coin', { ...price, portfolio_id: watchedPortfolioId }, ['portfolio_id']],
  ];
  for (const [name, body, fields] of bad)
    it(`refuses ${name}, and names the field`, async () => {
      const response = await make(body);
      expect(response.status).to.equal(422);
      expect(await fieldsOf(response)).to.deep.equal(fields);
      expect(fake.rows.size).to.equal(0);
    });

  it('knows no portfolio of somebody else', async () => {
    const response = await make({
      kind: 'portfolio_value',
      portfolio_id: uuidv7(),
      direction: 'above',
      threshold: 1,
    });
    expect(response.status).to.equal(404);
  });

  it('lists, filters and reads alerts', async () => {
    const { id } = await made();
    await made({ ...price, kind: 'change', window: 300 });
    const page = await dataOf(await api.call('GET', `${path}?kind=price`));
    expect(page).to.include({ total: 1, page: 1, total_pages: 1 });
    expect((page['data'] as { id: string }[]).map((each) => each.id)).to.deep.equal([id]);
    expect(await dataOf(await api.call('GET', `${path}/${id}`))).to.include({ id });
  });

  it('changes an alert that is still as the client has seen it, and begins it anew', async () => {
    const { id, tag } = await made();
    const row = fake.rows.get(id);
    if (row !== undefined) fake.rows.set(id, { ...row, state: 'fired' });
    const put = (body: object, headers: Record<string, string>) =>
      api.call('PATCH', `${path}/${id}`, { body, headers });
    expect((await put({ note: 'x' }, {})).status).to.equal(428);
    const noted = await put({ note: 'sell', url: 'https://example.com/hook' }, { 'if-match': tag });
    expect(await dataOf(noted)).to.include({ note: 'sell', state: 'fired', version: 2 });
    expect((await put({ threshold: 5 }, { 'if-match': tag })).status).to.equal(412);
    const changed = await put({ threshold: 5 }, { 'if-match': '"2"' });
    expect(await dataOf(changed)).to.include({ threshold: '5', state: 'pending', note: 'sell' });
    expect((await put({ window: 300 }, { 'if-match': '*' })).status).to.equal(422);
    const secretly = await put({ url: 'https://127.0.0.1/hook' }, { 'if-match': '*' });
    expect(secretly.status).to.equal(422);
    expect(await fieldsOf(secretly)).to.deep.equal(['url']);
    expect(fake.rows.get(id)?.url).to.equal('https://example.com/hook');
    expect((await put({}, { 'if-match': '*' })).status).to.equal(422);
  });

  it('disables and enables an alert, and begins it anew on demand', async () => {
    const { id } = await made();
    const change = async (body: object) =>
      await dataOf(await api.call('PATCH', `${path}/${id}`, { body, headers: { 'if-match': '*' } }));
    expect(await change({ enabled: false })).to.include({ state: 'disabled' });
    expect(await change({ threshold: 7 })).to.include({ state: 'disabled', threshold: '7' });
    expect(await change({ enabled: true })).to.include({ state: 'pending' });
    const row = fake.rows.get(id);
    if (row !== undefined) fake.rows.set(id, { ...row, state: 'fired' });
    expect(await change({ enabled: true })).to.include({ state: 'fired' });
    const started = await api.call('POST', `${path}/${id}/rearm`);
    expect(await dataOf(started)).to.include({ state: 'pending' });
  });

  it('changes what evaluators change at the same moment', async () => {
    const { id } = await made();
    const find = fake.rows.get.bind(fake.rows);
    let isStored = false;
    fake.rows.get = (key) => {
      const row = find(key);
      // Between the look and the change, once.
      if (row !== undefined && !isStored) {
        isStored = true;
        fake.rows.set(key, { ...row, state: 'armed', version: row.version + 1 });
      }
      return row;
    };
    const headers = { 'if-match': '*' };
    const response = await api.call('PATCH', `${path}/${id}`, { body: { note: 'x' }, headers });
    expect(await dataOf(response)).to.include({ note: 'x', state: 'armed', version: 3 });
    fake.rows.get = find;
  });

  it('has an allowance for alerts that begin anew, and for nothing else', async () => {
    const { id } = await made();
    const put = (body: object) => api.call('PATCH', `${path}/${id}`, { body, headers: { 'if-match': '*' } });
    const rearm = () => api.call('POST', `${path}/${id}/rearm`);
    const anew = [{ threshold: 5 }, { direction: 'below' }, { enabled: true }];
    for (const body of anew) expect((await put(body)).status).to.equal(200);
    expect((await rearm()).status).to.equal(200);
    expect((await make({ ...price, fire_if_true: true })).status).to.equal(201);
    expect(begins.map(({ limit, windowSeconds }) => [limit, windowSeconds])).to.deep.equal(
      Array.from({ length: 5 }, () => [600, 3_600]),
    );
    isSpent = true;
    expect((await rearm()).status).to.equal(429);
    for (const body of anew) expect((await put(body)).status).to.equal(429);
    expect((await make({ ...price, fire_if_true: true })).status).to.equal(429);
    expect((await put({ note: 'x', enabled: false })).status).to.equal(200);
  });

  it('tells who begins an alert anew that others change it all the time', async () => {
    const { id } = await made();
    const find = fake.rows.get.bind(fake.rows);
    fake.rows.get = (key) => {
      const row = find(key);
      if (row !== undefined) fake.rows.set(key, { ...row, version: row.version + 1 });
      return row;
    };
    const response = await api.call('POST', `${path}/${id}/rearm`);
    fake.rows.get = find;
    expect(response.status).to.equal(409);
  });

  it('tells evaluators of every change, and of none that was refused', async () => {
    const { id, tag } = await made();
    const send = (method: string, suffix: string, tagged: string, body?: object) =>
      api.call(method, `${path}/${id}${suffix}`, { body, headers: { 'if-match': tagged } });
    fake.reported.length = 0;
    expect((await send('PATCH', '', '"9"', { note: 'x' })).status).to.equal(412);
    expect((await send('DELETE', '', '"9"')).status).to.equal(412);
    expect(fake.reported).to.deep.equal([]);
    expect((await send('PATCH', '', tag, { note: 'x' })).status).to.equal(200);
    expect((await send('POST', '/rearm', '*')).status).to.equal(200);
    expect((await send('DELETE', '', '"3"')).status).to.equal(200);
    expect(fake.reported).to.deep.equal([id, id, id]);
  });

  it('asks for the page and the alerts that the client wants', async () => {
    await api.call(
      'GET',
      `${path}?kind=price&state=armed&coin=bitcoin&portfolio_id=${watchedPortfolioId}&page=3&limit=7`,
    );
    await api.call('GET', `${path}/firings?alert_id=${watchedPortfolioId.toUpperCase()}&page=2&limit=5`);
    const { userId } = jobRecord();
    expect(fake.pages).to.deep.equal([
      {
        userId,
        kind: 'price',
        state: 'armed',
        assetId: 'bitcoin',
        portfolioId: watchedPortfolioId,
        offset: 14,
        limit: 7,
      },
      { userId, alertId: watchedPortfolioId, offset: 5, limit: 5 },
    ]);
  });

  it('deletes an alert', async () => {
    const { id, tag } = await made();
    expect((await api.call('DELETE', `${path}/${id}`)).status).to.equal(428);
    const response = await api.call('DELETE', `${path}/${id}`, { headers: { 'if-match': tag } });
    expect(response.status).to.equal(200);
    expect((await api.call('GET', `${path}/${id}`)).status).to.equal(404);
  });

  it('hides the alerts of others, also from admins', async () => {
    const real = await overPostgres();
    try {
      const path = `/api/v1/alerts/${real.alertId}`;
      const read = async (): Promise<Record<string, unknown>> => {
        const response = await real.api.call('GET', path);
        expect(response.status).to.equal(200);
        return await dataOf(response);
      };
      const before = await read();
      const headers = { authorization: `Bearer ${tokenOfAnotherAdmin()}`, 'if-match': '*' };
      for (const [method, suffix, body] of [
        ['GET', '', undefined],
        ['PATCH', '', { note: 'x' }],
        ['PUT', '', { note: 'x' }],
        ['DELETE', '', undefined],
        ['POST', '/rearm', undefined],
      ] as const)
        expect((await real.api.call(method, path + suffix, { headers, body })).status, method).to.equal(404);
      expect(await dataOf(await real.api.call('GET', '/api/v1/alerts', { headers }))).to.include({
        total: 0,
      });
      expect(await read()).to.deep.equal(before);
      for (const odd of ['1', '%00', 'firings%2f'])
        expect((await real.api.call('GET', `/api/v1/alerts/${odd}`)).status).to.equal(404);
    } finally {
      await real.close();
    }
  });

  it('answers what has fired as it was told', async () => {
    const body = { id: uuidv7(), value: '100001.123456789012345678', alert: { id: uuidv7() } };
    const userId = [...(await made(), fake.rows.values())][0]?.userId ?? '';
    fake.firings.push({
      id: body.id,
      alertId: body.alert.id,
      userId,
      at: new Date(),
      body: JSON.stringify(body),
    });
    const page = await dataOf(await api.call('GET', `${path}/firings?limit=5`));
    expect(page).to.deep.equal({ data: [body], total: 1, page: 1, limit: 5, total_pages: 1 });
  });
});

/** The admin of the stand-ins is the owner. */
function tokenOfAnotherAdmin(): string {
  const life = { expiresInSeconds: 60, ticketExpiresInSeconds: 60 };
  const tokens = createTokens({ secret: testSecret, ...life, clock: systemClock });
  return tokens.issue({ userId: uuidv7(), role: 'admin', generation: 0, sessionId: uuidv7() });
}

/** The routes over a real table, in which the user of the tests has an alert. */
async function overPostgres(): Promise<{ api: TestApi; alertId: string; close: () => Promise<void> }> {
  const database = await createTestDatabase();
  const knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 2 });
  const { userId: id } = jobRecord();
  await knex('users').insert({ id, username: 'owner', email: 'owner@example.com', password_hash: 'x' });
  const api = await startApi({ alerts: fakeAlerts(undefined, createAlertQueries(knex)).operations });
  const made = await api.call('POST', path, { body: price });
  const { data } = (await made.json()) as Answer;
  return {
    api,
    alertId: data['id'] as string,
    async close() {
      await api.close();
      await knex.destroy();
      await database.drop();
    },
  };
}
