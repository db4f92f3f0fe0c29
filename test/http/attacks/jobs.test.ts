/** Attacks on the jobs of others, at a real process. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { apiClient, newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import type { Body } from '../support/attack.ts';

describe('attacks on the jobs of others', () => {
  let stack: Stack;
  let joe: ApiClient;
  let ann: ApiClient;
  let id: string;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({ workers: 0 });
    const { url } = stack.apis[0]!;
    [joe, ann] = [await newUser(url), await newUser(url)];
    const headers = { 'idempotency-key': 'the-same' };
    const submitted = await joe.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] }, headers });
    id = submitted.body?.data.id;
  });
  after(async function () {
    this.timeout(120_000);
    await stack.stop();
  });

  it('reading, cancelling and following one by its id is answered as if there were none', async () => {
    const requests: [string, string, Record<string, string>][] = [
      ['GET', '', {}],
      ['GET', '', { 'if-none-match': '*' }],
      ['DELETE', '', {}],
      ['GET', '/events', {}],
      ['GET', '/events', { 'last-event-id': '0-0' }],
      ['HEAD', '', {}],
      ['HEAD', '/events', {}],
    ];
    for (const [method, rest, headers] of requests) {
      const theirs = await ann.call(method, `/jobs/${id}${rest}`, { headers });
      const none = await ann.call(method, `/jobs/${uuidv7()}${rest}`, { headers });
      expect([theirs.status, theirs.body?.error], method + rest).to.deep.equal([404, none.body?.error]);
      expect([...theirs.headers.keys()], method + rest).to.deep.equal([...none.headers.keys()]);
    }
    const { body } = await joe.call('GET', `/jobs/${id}`);
    expect(body?.data.state).to.equal('queued');
  });

  it('with a ticket or an API key of one’s own is answered 404 too', async () => {
    const { ticket } = (await ann.call('POST', '/auth/stream-ticket')).body?.data;
    const anonymous = apiClient(stack.apis[0]!.url);
    expect((await anonymous.call('GET', `/jobs/${id}/events?ticket=${ticket}`)).status).to.equal(404);
    const body = { name: 'k', scopes: ['jobs:write'] };
    const { key } = (await ann.call('POST', '/api-keys', { body })).body?.data;
    const headers = { 'x-api-key': key as string };
    for (const [method, rest] of [
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/events'],
    ] as const)
      expect((await anonymous.call(method, `/jobs/${id}${rest}`, { headers })).status).to.equal(404);
  });

  it('they are in no list but that of their owner, whatever the query asks for', async () => {
    expect((await joe.call('GET', '/jobs')).body?.data.data.map((job: Body) => job.id)).to.include(id);
    expect((await ann.call('GET', '/jobs')).body?.data.data).to.deep.equal([]);
    for (const query of ['user=', 'userId=', 'user_id=', 'owner='])
      expect((await ann.call('GET', `/jobs?${query}${id}`)).status).to.equal(422);
  });

  it('the idempotency key of another gives a job of one’s own', async () => {
    const headers = { 'idempotency-key': 'the-same' };
    const mine = await ann.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] }, headers });
    expect(mine.status).to.equal(202);
    expect(mine.body?.data.id).not.to.equal(id);
  });
});
