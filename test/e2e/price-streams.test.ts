/** Live prices, portfolios and a job over SSE, through the whole pipeline. */
import { expect } from 'chai';
import { EventSource } from 'eventsource';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { readSse, type SseReader } from './support/sse-reader.ts';

interface Row {
  readonly id: string;
  readonly state: string;
  readonly price: number;
  readonly received_at: string;
}

describe('price streams', () => {
  let stack: Stack;
  let user: ApiClient;
  let base: string;

  before(async () => {
    stack = await startStack({
      environment: { STREAM_RENEW_AFTER: '1s', UPSTREAM_CALLS_PER_MINUTE: '1000' },
      market: { callsPerMinute: 1_000 },
    });
    user = await newUser(stack.apis[0]!.url);
    base = `${stack.apis[0]!.url}/api/v1`;
  });
  after(() => stack.stop());

  const open = (path: string, body?: object): Promise<SseReader> =>
    readSse(`${base}${path}`, {
      headers: { authorization: `Bearer ${user.token}` },
      ...(body === undefined ? {} : { body }),
    });

  const rowsOf = (reader: SseReader, id: string): Row[] =>
    reader.dataOf('price').flatMap((rows: Row[]) => rows.filter((row) => row.id === id));

  it('begin with a greeting and a snapshot, and go on with newer observations alone', async () => {
    const reader = await open('/crypto/stream/prices?coins=bitcoin,ethereum,no-such-coin&interval=1');
    const fresh = (id: string): Row[] => rowsOf(reader, id).filter(({ state }) => state === 'fresh');
    await waitFor(() => fresh('bitcoin').length >= 2, { what: 'two quotes' });
    const [hello, snapshot] = reader.events;
    expect(hello?.data).to.include({ currency: 'usd', interval_seconds: 1, recovered: false });
    expect(hello?.data.coins).to.deep.equal(['bitcoin', 'ethereum', 'no-such-coin']);
    expect(snapshot?.data.map(({ id }: Row) => id)).to.deep.equal(hello?.data.coins);
    for (const id of ['bitcoin', 'ethereum']) {
      const times = fresh(id).map((row) => row.received_at);
      expect(times).to.deep.equal([...new Set(times)].toSorted());
    }
    // What the source does not know is said once; what it knows goes on.
    expect(rowsOf(reader, 'no-such-coin').filter(({ state }) => state === 'not_found')).to.have.length(1);
    expect(rowsOf(reader, 'no-such-coin').at(-1)?.state).to.equal('not_found');
    reader.cut();
  });

  it('tell the same price as a read', async () => {
    const reader = await open('/crypto/stream/prices?coins=bitcoin');
    await waitFor(() => rowsOf(reader, 'bitcoin').at(-1)?.state === 'fresh', { what: 'a quote' });
    const { body } = await user.call('GET', '/crypto/bitcoin');
    const { price, received_at } = body?.data as Row;
    const same = (row: Row): boolean => row.received_at === received_at;
    await waitFor(() => rowsOf(reader, 'bitcoin').some(same), { what: 'the quote that was read' });
    expect(rowsOf(reader, 'bitcoin').find(same)).to.include({ price });
    reader.cut();
  });

  it('end after max_updates', async () => {
    const reader = await open('/crypto/stream/prices?coins=bitcoin&max_updates=1');
    await waitFor(() => reader.state === 'clean', { what: 'the end' });
    expect(reader.dataOf('price')).to.have.length(2);
    expect(reader.events.at(-1)).to.include({ event: 'end' });
    expect(reader.events.at(-1)?.data).to.deep.equal({ reason: 'complete', reconnect: false });
  });

  it('value holdings, and tell the rows that have changed with the total of all', async () => {
    const holdings = [
      { coin: 'bitcoin', quantity: '2' },
      { coin: 'ethereum', quantity: '0.5' },
    ];
    const reader = await open('/crypto/stream/portfolio', { holdings, max_updates: 1 });
    await waitFor(() => reader.state === 'clean', { what: 'the end' });
    const last = reader.dataOf('portfolio').at(-1);
    expect(reader.dataOf('portfolio')).to.have.length(2);
    expect(last).to.include({ complete: true });
    expect(Number(last.total_value)).to.be.above(0);
    expect(last.portfolio).to.not.have.length(0);
    for (const { id, value, price } of last.portfolio)
      expect(Number(value)).to.be.closeTo((id === 'bitcoin' ? 2 : 0.5) * price, price / 1e6);
  });

  it('of a job end an EventSource for good after the last event', async () => {
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    const { body: made } = await user.call('POST', '/auth/stream-ticket');
    const source = new EventSource(`${base}/jobs/${body?.data.id}/events?ticket=${made?.data.ticket}`);
    let ends = 0;
    let failedWith: number | undefined;
    source.addEventListener('job.completed', () => void (ends += 1));
    source.addEventListener('error', ({ code }) => void (failedWith = code));
    await waitFor(() => source.readyState === EventSource.CLOSED, { what: 'the EventSource to give up' });
    expect([ends, failedWith]).to.deep.equal([1, 204]);
  });
});
