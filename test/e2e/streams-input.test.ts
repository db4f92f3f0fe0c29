/** What clients may ask of streams, and must not: a clear answer each, and nothing crashes. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createTokens } from '../../src/features/accounts/tokens.ts';
import { apiClient, newUser, type ApiClient } from '../support/api-client.ts';
import { stackSecret, startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { readSse, type SseReader } from './support/sse-reader.ts';

const path = '/crypto/stream/prices';

describe('bad input of streams', () => {
  let stack: Stack;
  let user: ApiClient;
  let base: string;

  before(async () => {
    stack = await startStack({ workers: 0 });
    user = await newUser(stack.apis[0]!.url);
    base = `${stack.apis[0]!.url}/api/v1`;
  });
  after(async () => {
    const { status } = await apiClient(stack.apis[0]!.url).call('GET', '/health');
    const faults = (await stack.apis[0]!.log()).split('\n').filter((line) => /"level":(50|60)/.test(line));
    await stack.stop();
    expect(status).to.equal(200);
    expect(faults).to.deep.equal([]);
  });

  async function open(query: string, headers: Record<string, string> = {}): Promise<SseReader> {
    const reader = await readSse(`${base}${query}`, {
      headers: { authorization: `Bearer ${user.token}`, ...headers },
    });
    await waitFor(() => reader.dataOf('hello').length === 1, { what: 'the greeting' });
    return reader;
  }

  const coins = (count: number): string[] => Array.from({ length: count }, (_, index) => `c${index}`);

  const refusedQueries = {
    coins: [
      '',
      'coins=',
      'coins=,',
      'coins=a%00b',
      'coins=a%0Adata:x',
      `coins=${coins(251).join(',')}`,
      'coins[x]=y',
    ],
    interval: ['0', '-1', '9223372037', '1e309', '1e3', '0.5', 'NaN', '', '0x10', '1&interval=2'].map(
      (value) => `coins=bitcoin&interval=${value}`,
    ),
    max_updates: ['0', '-1', '9223372037', '1e309', '1.5', 'Infinity', '1000001'].map(
      (value) => `coins=bitcoin&max_updates=${value}`,
    ),
    currency: ['coins=bitcoin&currency=xyz', 'coins=bitcoin&currency[]=usd'],
    unknown: ['coins=bitcoin&speed=9'],
  };
  for (const [field, queries] of Object.entries(refusedQueries)) {
    it(`is told with 422 and the field, in a query: ${field}`, async () => {
      for (const query of queries) {
        const { status, body } = await user.call('GET', `${path}?${query}`);
        expect(status, query).to.equal(422);
        expect(body?.error?.fields?.length, query).to.be.at.least(1);
        expect(JSON.stringify(body).length, query).to.be.below(5_000);
      }
    });
  }

  it('is told with 422 in the body of a portfolio', async () => {
    const bodies = [
      '{}',
      JSON.stringify({ coins: coins(10_000) }),
      JSON.stringify({ coins: ['bitcoin'], holdings: [{ coin: 'bitcoin', quantity: '1' }] }),
      ...['0', '-1', '9223372037', '1e309', '0.5', '"1"', 'null'].map(
        (n) => `{"coins":["bitcoin"],"interval":${n}}`,
      ),
      ...['0', '-1', '1e309', '1.5'].map((n) => `{"coins":["bitcoin"],"max_updates":${n}}`),
      '{"holdings":[{"coin":"bitcoin","quantity":"1e309x"}]}',
    ];
    for (const body of bodies) {
      const answer = await user.call('POST', '/crypto/stream/portfolio', { body });
      expect(answer.status, body.slice(0, 80)).to.equal(422);
      expect(JSON.stringify(answer.body).length).to.be.below(5_000);
    }
  });

  it('of 10,000 coins in a query is more than a request may hold', async () => {
    const { status } = await fetch(`${base}${path}?coins=${coins(10_000).join(',')}`, {
      headers: { authorization: `Bearer ${user.token}` },
    });
    expect(status).to.equal(414);
  });

  it('of a coin named twice watches it once', async () => {
    const reader = await open(`${path}?coins=bitcoin,bitcoin,ethereum`);
    await waitFor(() => reader.dataOf('price').length === 1, { what: 'the snapshot' });
    expect(reader.dataOf('price')[0].map(({ id }: { id: string }) => id)).to.deep.equal([
      'bitcoin',
      'ethereum',
    ]);
    reader.cut();
  });

  it('of a forged or foreign position recovers nothing, and streams', async () => {
    const first = await open(`${path}?coins=bitcoin`);
    const { epoch } = first.dataOf('hello')[0];
    const good = await open(`${path}?coins=bitcoin`, { 'last-event-id': `${epoch}.0` });
    expect(good.dataOf('hello')[0]).to.include({ recovered: true });
    const forged = [
      '0123abcd.1',
      `${epoch}.-1`,
      `${epoch}.1e9`,
      `${epoch}`,
      'x'.repeat(8_000),
      '1-0.0',
      'ÿ',
      '{"a":1}',
    ];
    for (const id of forged) {
      const reader = await open(`${path}?coins=bitcoin`, { 'last-event-id': id });
      expect(reader.dataOf('hello')[0], id.slice(0, 40)).to.include({ recovered: false, epoch });
      reader.cut();
    }
    for (const reader of [first, good]) reader.cut();
  });

  it('of a ticket of another user, an expired one or none opens no job', async () => {
    const job = (await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } })).body?.data
      .id as string;
    const other = await newUser(stack.apis[0]!.url);
    const foreign = (await other.call('POST', '/auth/stream-ticket')).body?.data.ticket as string;
    const own = (await user.call('POST', '/auth/stream-ticket')).body?.data.ticket as string;
    const requested = [foreign, expiredTicket(), 'x', ''].map(async (ticket) => {
      const response = await fetch(`${base}/jobs/${job}/events?ticket=${ticket}`);
      return [response.status, (await response.text()).includes(job)];
    });
    expect(await Promise.all(requested)).to.deep.equal([
      [404, false],
      [401, false],
      [401, false],
      [401, false],
    ]);
    const reader = await readSse(`${base}/jobs/${job}/events?ticket=${own}`);
    await waitFor(() => reader.dataOf('hello').length === 1, { what: 'the greeting' });
    reader.cut();
  });

  it('of the id of no job is 404', async () => {
    for (const id of [randomUUID(), 'x', '1']) {
      const { status } = await user.call('GET', `/jobs/${id}/events`);
      expect(status, id).to.equal(404);
    }
  });

  /** Signed with the right secret, an hour ago. */
  function expiredTicket(): string {
    const clock = { now: () => Date.now() - 3_600_000 };
    const tokens = createTokens({
      secret: stackSecret,
      expiresInSeconds: 60,
      ticketExpiresInSeconds: 60,
      clock,
    });
    const viewer = { userId: randomUUID(), role: 'user', generation: 0, sessionId: randomUUID() } as const;
    return tokens.issueTicket({ ...viewer, keyId: undefined, scopes: undefined });
  }
});
