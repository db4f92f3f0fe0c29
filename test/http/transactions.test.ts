/* eslint-disable @typescript-eslint/no-explicit-any -- answers of every shape are looked into */
/** Portfolios and transactions as a client sees them: the real application over a real database. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { as, newPerson, type Answer, type Person } from './support/attack.ts';
import { startAccessApi, type AccessApi } from './support/access.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;
const buy = {
  type: 'buy',
  executed_at: '2024-01-31T09:30:00+01:00',
  received: { asset: 'bitcoin', quantity: '1' },
  value: '42000.5',
};
const sell = {
  type: 'sell',
  executed_at: '2024-02-01T09:30:00Z',
  sent: { asset: 'bitcoin', quantity: '0.25' },
  value: '11000',
};
const any = { 'if-match': '*' };

describe('portfolios and transactions over HTTP', () => {
  let api: AccessApi;
  let joe: Person;
  let path: string;
  const updated: string[] = [];

  before(async () => {
    const day = Date.UTC(2024, 2, 1);
    api = await startAccessApi({
      books: {
        updateBooks: (id) => void updated.push(id),
        prices: {
          dailyCloses: ({ assetIds, from, to }) =>
            Promise.resolve(
              new Map(
                from <= day && day <= to ? assetIds.map((id) => [id, { days: [day], closes: [1.5e-7] }]) : [],
              ),
            ),
          quotedPrices: (_currency, ids) =>
            Promise.resolve(
              new Map(ids.map((id) => [id, { price: 60_000.25, receivedAt: Date.now() - minuteMs }])),
            ),
        },
      },
    });
    joe = await newPerson(api, 'joe');
  });
  after(() => api.end());
  beforeEach(async () => {
    const made = await ask('POST', '/portfolios', { body: { name: 'mine' } });
    expect(made.status, made.text).to.equal(201);
    path = `/portfolios/${made.body.data.id}`;
    updated.length = 0;
  });

  const ask: ReturnType<typeof as> = (...request) => as(api, joe.token)(...request);
  const post = (body: unknown): Promise<Answer> => ask('POST', `${path}/transactions`, { body });
  const fieldsOf = (answer: Answer): string[] => answer.body.error.fields.map((each: any) => each.field);

  it('a portfolio is made, read, changed at the version that was seen, and deleted', async () => {
    const made = await ask('POST', '/portfolios', {
      body: { name: ' Savings ', base_currency: 'EUR', method: 'uk_pool', time_zone: 'Europe/London' },
    });
    expect(made.headers.get('location')).to.equal(`/api/v1/portfolios/${made.body.data.id}`);
    expect(made.headers.get('etag')).to.equal('"1"');
    expect(made.body.data).to.include({
      name: 'Savings',
      base_currency: 'eur',
      method: 'uk_pool',
      time_zone: 'Europe/London',
      version: 1,
    });
    const at = `/portfolios/${made.body.data.id}`;
    const unchanged = await ask('GET', at, { headers: { 'if-none-match': '"1"' } });
    expect(unchanged.status).to.equal(304);
    const body = { name: 'Pension' };
    expect((await ask('PATCH', at, { body })).status).to.equal(428);
    expect((await ask('PATCH', at, { body, headers: { 'if-match': '"2"' } })).status).to.equal(412);
    expect((await ask('PATCH', at, { body, headers: { 'if-match': 'W/"1"' } })).status).to.equal(412);
    const changed = await ask('PATCH', at, { body, headers: { 'if-match': '"7", "1"' } });
    expect(changed.status).to.equal(200);
    expect(changed.headers.get('etag')).to.equal('"2"');
    expect(changed.body.data).to.include({ name: 'Pension', method: 'uk_pool', version: 2 });
    const stale = await ask('DELETE', at, { headers: { 'if-match': '"1"' } });
    expect([stale.status, stale.body.error.code]).to.deep.equal([412, 'precondition_failed']);
    expect((await ask('DELETE', at, { headers: { 'if-match': '"2"' } })).status).to.equal(200);
    expect((await ask('GET', at)).status).to.equal(404);
    expect((await ask('GET', `${at}/transactions`)).status).to.equal(404);
    const listed = await ask('GET', '/portfolios?limit=100');
    expect(listed.body.data.data.map((each: any) => each.id)).not.to.include(made.body.data.id);
  });

  it('a transaction is made with what was said, in UTC and canonical decimals', async () => {
    const made = await post({
      ...buy,
      received: { asset: ' Bitcoin ', quantity: '0001.500' },
      fee: { value: 12.5 },
      note: 'first',
    });
    expect(made.status, made.text).to.equal(201);
    const { id, created_at, updated_at, ...rest } = made.body.data;
    expect(made.headers.get('location')).to.equal(`/api/v1${path}/transactions/${id}`);
    expect(updated_at).to.equal(created_at);
    expect(rest).to.deep.equal({
      type: 'buy',
      executed_at: '2024-01-31T08:30:00.000Z',
      received: { asset: 'bitcoin', quantity: '1.5' },
      sent: null,
      value: '42000.5',
      value_source: 'stated',
      fee: { asset: null, quantity: null, value: '12.5', value_source: 'stated' },
      note: 'first',
      sequence: 0,
      import_id: null,
      version: 1,
    });
    const read = await ask('GET', `${path}/transactions/${id}`);
    expect(read.body.data).to.deep.equal(made.body.data);
    expect(updated).to.deep.equal([path.slice('/portfolios/'.length)]);
  });

  it('what states no value gets the market price of its day, of the last 24 hours the quote, exactly', async () => {
    const reward = { type: 'reward', received: { asset: 'bitcoin', quantity: '3' } };
    const old = await post({ ...reward, executed_at: '2024-03-01T23:59:59Z' });
    expect(old.body.data).to.include({ value: '0.00000045', value_source: 'market' });
    const recent = await post({ ...reward, executed_at: new Date(Date.now() - minuteMs).toISOString() });
    expect(recent.body.data).to.include({ value: '180000.75', value_source: 'market' });
    const unknown = await post({ ...reward, executed_at: '2024-03-02T00:00:00Z' });
    expect(unknown.status).to.equal(422);
    expect(fieldsOf(unknown)).to.deep.equal(['value']);
  });

  const tooLong = '1'.repeat(40);
  const bad: [string, object, string[]][] = [
    ['a negative quantity', { received: { asset: 'bitcoin', quantity: '-1' } }, ['received.quantity']],
    ['a quantity of zero', { received: { asset: 'bitcoin', quantity: '0.000' } }, ['received.quantity']],
    ['forty digits', { received: { asset: 'bitcoin', quantity: tooLong } }, ['received.quantity']],
    ['an exponent', { received: { asset: 'bitcoin', quantity: '1e400' } }, ['received.quantity']],
    ['nineteen digits behind the point', { value: `0.${'1'.repeat(19)}` }, ['value']],
    ['more digits than a number holds', { value: 0.1234567890123456 }, ['value']],
    ['a negative value', { value: '-1' }, ['value']],
    ['no value of a purchase', { value: undefined }, ['value']],
    ['the future', { executed_at: new Date(Date.now() + dayMs).toISOString() }, ['executed_at']],
    ['before 2009-01-03', { executed_at: '2009-01-02T23:59:59Z' }, ['executed_at']],
    ['a time without an offset', { executed_at: '2024-01-31T09:30:00' }, ['executed_at']],
    ['a day that is none', { executed_at: '2023-02-29T09:30:00Z' }, ['executed_at']],
    ['an unknown asset', { received: { asset: 'no-such-coin', quantity: '1' } }, ['received.asset']],
    ['a currency as an asset', { received: { asset: 'EUR', quantity: '1' } }, ['received.asset']],
    ['a leg too many', { sent: { asset: 'bitcoin', quantity: '1' } }, ['sent', 'received.asset']],
    [
      'an unknown asset as a fee',
      { fee: { asset: 'no-such-coin', quantity: '1', value: '1' } },
      ['fee.asset'],
    ],
    ['a fee without a value', { fee: {} }, ['fee.value']],
    ['a type that is none', { type: 'gift' }, ['type']],
    ['an unknown field', { price: '1' }, ['price']],
    ['a note with a zero byte', { note: 'a\0b' }, ['note']],
    ['an id that is none', { id: 'x' }, ['id']],
    ['a sequence beyond what is stored', { sequence: 2 ** 31 }, ['sequence']],
  ];
  for (const [what, different, fields] of bad) {
    it(`refuses ${what}, naming the field, alone and in a list, where nothing is made`, async () => {
      const alone = await post({ ...buy, ...different });
      expect(alone.status, alone.text).to.equal(422);
      expect(fieldsOf(alone)).to.have.members(fields);
      const body = { transactions: [buy, { ...buy, ...different }] };
      const listed = await ask('POST', `${path}/transactions/bulk`, { body });
      expect(listed.status, listed.text).to.equal(422);
      expect(fieldsOf(listed)).to.have.members(fields.map((each) => `transactions[1].${each}`));
      expect((await ask('GET', `${path}/transactions`)).body.data.total).to.equal(0);
    });
  }

  it('refuses a sale beyond the holding, and what would take from under a later one', async () => {
    const beyond = await post(sell);
    expect([beyond.status, ...fieldsOf(beyond)]).to.deep.equal([422, 'sent.quantity']);
    const bought = (await post(buy)).body.data;
    expect((await post({ ...sell, sent: { asset: 'bitcoin', quantity: '1' } })).status).to.equal(201);
    const earlier = { ...sell, executed_at: '2024-01-31T10:00:00Z' };
    expect(fieldsOf(await post(earlier))).to.deep.equal(['sent.quantity']);
    const at = `${path}/transactions/${bought.id}`;
    const removed = await ask('DELETE', at, { headers: any });
    expect([removed.status, ...fieldsOf(removed)]).to.deep.equal([422, 'id']);
    const less = { ...buy, received: { asset: 'bitcoin', quantity: '0.9' } };
    const lessened = await ask('PUT', at, { body: less, headers: any });
    expect([lessened.status, ...fieldsOf(lessened)]).to.deep.equal([422, 'received.quantity']);
    const later = { ...buy, executed_at: '2024-02-02T00:00:00Z' };
    expect(fieldsOf(await ask('PUT', at, { body: later, headers: any }))).to.deep.equal(['executed_at']);
    expect((await ask('GET', at)).body.data).to.deep.equal(bought);
    expect((await ask('GET', `${path}/transactions`)).body.data.total).to.equal(2);
  });

  it('reads what goes out by its former name too', async () => {
    await post(buy);
    const { sent, ...rest } = sell;
    const made = await post({ ...rest, given: { ...sent, quantity: '0.1' } });
    expect(made.status, made.text).to.equal(201);
    expect(made.body.data.sent).to.deep.equal({ asset: 'bitcoin', quantity: '0.1' });
    expect(made.body.data).to.not.have.property('given');
  });

  it('makes many at once, or none; sent again with the same ids nothing is done twice', async () => {
    const transactions = [
      { id: uuidv7(), ...sell },
      { id: uuidv7(), ...buy },
    ];
    const ofSale = [{ ...transactions[0]!, sent: { asset: 'bitcoin', quantity: '2' } }, transactions[1]!];
    const refused = await ask('POST', `${path}/transactions/bulk`, { body: { transactions: ofSale } });
    expect([refused.status, ...fieldsOf(refused)]).to.deep.equal([422, 'transactions[0].sent.quantity']);
    const made = await ask('POST', `${path}/transactions/bulk`, { body: { transactions } });
    expect(made.status, made.text).to.equal(201);
    expect(made.body.data.created).to.equal(2);
    expect(made.body.data.transactions.map((each: any) => each.id)).to.deep.equal(
      transactions.map(({ id }) => id),
    );
    updated.length = 0;
    const again = await ask('POST', `${path}/transactions/bulk`, { body: { transactions } });
    expect([again.status, again.body.data.created]).to.deep.equal([200, 0]);
    expect((await post(transactions[1])).status).to.equal(200);
    expect(updated).to.deep.equal([]);
    const other = await post({ ...transactions[1], value: '1' });
    expect([other.status, other.body.error.code]).to.deep.equal([409, 'transaction_exists']);
    const twice = { transactions: [transactions[1], transactions[1]] };
    expect(fieldsOf(await ask('POST', `${path}/transactions/bulk`, { body: twice }))).to.deep.equal([
      'transactions[1].id',
    ]);
    const many = { transactions: Array.from({ length: 1_001 }, () => buy) };
    expect((await ask('POST', `${path}/transactions/bulk`, { body: many })).status).to.equal(422);
    expect((await ask('GET', `${path}/transactions`)).body.data.total).to.equal(2);
  });

  it('replaces at the version that was seen and keeps what was in the audit trail, also of what is gone', async () => {
    const { id } = (await post({ ...buy, note: 'first' })).body.data;
    const at = `${path}/transactions/${id}`;
    const body = { ...buy, value: '40000' };
    expect((await ask('PUT', at, { body })).status).to.equal(428);
    expect((await ask('PUT', at, { body, headers: { 'if-match': '"2"' } })).status).to.equal(412);
    const replaced = await ask('PUT', at, { body, headers: { 'if-match': '"1"' } });
    expect(replaced.status, replaced.text).to.equal(200);
    expect(replaced.headers.get('etag')).to.equal('"2"');
    expect(replaced.body.data).to.include({ id, value: '40000', note: null, version: 2 });
    const same = await ask('PUT', at, { body, headers: { 'if-match': '"2"' } });
    expect(same.headers.get('etag'), 'nothing differs').to.equal('"2"');
    expect((await ask('DELETE', at, { headers: { 'if-match': '"1"' } })).status).to.equal(412);
    expect((await ask('DELETE', at, { headers: { 'if-match': '"2"' } })).status).to.equal(200);
    expect((await ask('GET', at)).status).to.equal(404);
    const trail = (await ask('GET', `${at}/changes`)).body.data;
    expect(trail.total).to.equal(3);
    expect(trail.data.map((each: any) => [each.action, each.before?.value, each.after?.value])).to.deep.equal(
      [
        ['deleted', '40000', undefined],
        ['replaced', '42000.5', '40000'],
        ['created', undefined, '42000.5'],
      ],
    );
    expect(trail.data[0]).to.include({ transaction_id: id, actor_id: joe.id, key_id: null });
    const all = await ask('GET', `${path}/changes?limit=2&page=2`);
    expect(all.body.data).to.include({ total: 3, total_pages: 2 });
    expect((await ask('GET', `${path}/transactions/${uuidv7()}/changes`)).status).to.equal(404);
  });

  it('takes a change of any one thing for a change, and the same said otherwise for none', async () => {
    const whole = { ...buy, fee: { value: '5' }, note: 'first', sequence: 1 };
    const { id } = (await post(whole)).body.data;
    const put = async (body: unknown): Promise<string | null> => {
      const answer = await ask('PUT', `${path}/transactions/${id}`, { body, headers: any });
      expect(answer.status, answer.text).to.equal(200);
      return answer.headers.get('etag');
    };
    let version = 1;
    for (const different of [
      { note: 'second' },
      { note: null },
      { sequence: 2 },
      { executed_at: '2024-01-31T09:30:01+01:00' },
      { type: 'transfer_in' },
      { received: { asset: 'bitcoin', quantity: '2' } },
      { value: '42000.6' },
      { fee: { value: '6' } },
      { fee: null },
    ]) {
      const what = JSON.stringify(different);
      expect(await put({ ...whole, ...different }), what).to.equal(`"${(version += 1)}"`);
      expect(await put(whole), what).to.equal(`"${(version += 1)}"`);
    }
    const otherwise = { ...whole, executed_at: '2024-01-31T08:30:00.000Z', value: '042000.500' };
    expect(await put(otherwise)).to.equal(`"${version}"`);
  });

  it('the trail of a transaction tells which key did it', async () => {
    const scopes = ['portfolio:read', 'portfolio:write'];
    const made = await ask('POST', '/api-keys', { body: { name: 'bot', scopes } });
    const { id: keyId, key } = made.body.data;
    const { id } = (await as(api, key)('POST', `${path}/transactions`, { body: buy })).body.data;
    const trail = (await ask('GET', `${path}/transactions/${id}/changes`)).body.data;
    expect(trail.data[0]).to.include({ actor_id: joe.id, key_id: keyId });
  });

  it('an ETag stands for one content for ever, also when an id is deleted and comes again', async () => {
    const id = uuidv7();
    const first = await post({ ...buy, id });
    const place = `${path}/transactions/${id}`;
    expect((await ask('DELETE', place, { headers: any })).status).to.equal(200);
    const again = await post({ ...buy, id, value: '1' });
    expect(again.status, again.text).to.equal(201);
    const seen = first.headers.get('etag') ?? '';
    expect(again.headers.get('etag')).not.to.equal(seen);
    const lost = await ask('PUT', place, { body: { ...buy, value: '2' }, headers: { 'if-match': seen } });
    expect(lost.status).to.equal(412);
    expect((await ask('GET', place, { headers: { 'if-none-match': seen } })).status).to.equal(200);
  });

  it('lists the latest first, by page and by filter', async () => {
    const days = ['2024-01-01', '2024-01-02', '2024-01-03'];
    const transactions = [
      ...days.map((day) => ({ ...buy, executed_at: `${day}T00:00:00Z` })),
      { ...sell, executed_at: '2024-01-03T00:00:00Z' },
    ];
    const made = await ask('POST', `${path}/transactions/bulk`, { body: { transactions } });
    const ids = made.body.data.transactions.map((each: any) => each.id);
    const listed = async (query: string): Promise<string[]> => {
      const answer = await ask('GET', `${path}/transactions?${query}`);
      expect(answer.status, answer.text).to.equal(200);
      expect(answer.body.data.total).to.be.at.least(answer.body.data.data.length);
      return answer.body.data.data.map((each: any) => ids.indexOf(each.id));
    };
    expect(await listed('')).to.deep.equal([3, 2, 1, 0]);
    expect(await listed('limit=2&page=2')).to.deep.equal([1, 0]);
    expect(await listed('type=sell')).to.deep.equal([3]);
    expect(await listed('asset=bitcoin&from=2024-01-02T00:00:00Z&to=2024-01-02T23:59:59Z')).to.deep.equal([
      1,
    ]);
    expect(await listed('from=2024-01-02T00:00:00Z&to=2024-01-02T00:00:00Z')).to.deep.equal([1]);
    expect(await listed('asset=ethereum')).to.deep.equal([]);
    expect(await listed(`import_id=${uuidv7()}`)).to.deep.equal([]);
    expect((await ask('GET', `${path}/transactions?from=yesterday`)).status).to.equal(422);
  });

  it('the base currency is fixed by the first transaction, and method and time zone are not', async () => {
    const change = (body: object) => ask('PATCH', path, { body, headers: any });
    expect((await change({ base_currency: 'eur' })).body.data.base_currency).to.equal('eur');
    await post(buy);
    const fixed = await change({ base_currency: 'usd' });
    expect([fixed.status, fixed.body.error.code]).to.deep.equal([409, 'base_currency_fixed']);
    updated.length = 0;
    expect((await change({ name: 'other' })).status).to.equal(200);
    const kept = await change({ method: 'average', time_zone: 'Asia/Tokyo' });
    expect(kept.body.data).to.include({ method: 'average', time_zone: 'Asia/Tokyo' });
    for (const body of [
      {},
      { method: 'best' },
      { time_zone: '+01:00' },
      { time_zone: 'Mars/Base' },
      { name: '' },
    ])
      expect((await change(body)).status, JSON.stringify(body)).to.equal(422);
  });

  it('somebody else’s portfolio is not there, for admins neither', async () => {
    const { id } = (await post(buy)).body.data;
    const strangers = [await newPerson(api, 'eve'), await newPerson(api, 'root', 'admin')];
    for (const { token } of strangers) {
      const other = as(api, token);
      const at = `${path}/transactions/${id}`;
      const calls: [string, string, object?][] = [
        ['GET', path],
        ['PATCH', path, { name: 'x' }],
        ['PUT', path, { name: 'x' }],
        ['DELETE', path],
        ['GET', `${path}/changes`],
        ['GET', `${path}/transactions`],
        ['POST', `${path}/transactions`, buy],
        ['POST', `${path}/transactions/bulk`, { transactions: [buy] }],
        ['GET', at],
        ['GET', `${at}/changes`],
        ['PUT', at, buy],
        ['DELETE', at],
      ];
      for (const [method, where, body] of calls) {
        const answer = await other(method, where, { headers: any, ...(body === undefined ? {} : { body }) });
        expect(answer.status, `${method} ${where}`).to.equal(404);
      }
      const own = (await other('POST', '/portfolios', { body: { name: 'own' } })).body.data.id;
      const through = `/portfolios/${own}/transactions/${id}`;
      expect((await other('GET', through)).status).to.equal(404);
      expect((await other('DELETE', through, { headers: any })).status).to.equal(404);
      const sameId = await other('POST', `/portfolios/${own}/transactions`, { body: { id, ...buy } });
      expect(sameId.status, 'an id says nothing of other portfolios').to.equal(201);
    }
    expect((await ask('GET', `${path}/transactions/${id}`)).status).to.equal(200);
    for (const none of ['x', uuidv7(), '%00'])
      expect((await ask('GET', `/portfolios/${none}`)).status).to.equal(404);
  });

  it('books that changed at once come out as if one after the other', async () => {
    await post(buy);
    const half = { ...sell, sent: { asset: 'bitcoin', quantity: '0.5' } };
    const responses = await Promise.all(Array.from({ length: 4 }, () => post(half)));
    expect(responses.map(({ status }) => status).toSorted()).to.deep.equal([201, 201, 422, 422]);
  });
});
