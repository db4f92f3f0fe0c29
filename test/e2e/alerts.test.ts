/** Alerts over a whole deployment: from a price that nobody reads to a signed webhook and the user's stream. */
import { expect } from 'chai';
import { verifyWebhook } from '../../client/webhooks.ts';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { openFeed, type Feed } from './support/feed.ts';
import { readSse, type SseReader } from './support/sse-reader.ts';

describe('alerts, end to end', () => {
  let stack: Stack;
  let receiver: Receiver;
  let feed: Feed;
  let user: ApiClient;

  before(async function () {
    this.timeout(120_000);
    receiver = await startReceiver();
    stack = await startStack({ workers: 2, environment: { WEBHOOK_ALLOWED_NETWORKS: 'loopback' } });
    feed = await openFeed(stack.redisUrl, stack.redisPrefix);
    user = await newUser(stack.apis[0]!.url);
  });
  after(async () => {
    await feed.close();
    await stack.stop();
    await receiver.close();
  });

  async function make(alert: object): Promise<string> {
    const { status, body } = await user.call('POST', '/alerts', { body: { kind: 'price', ...alert } });
    expect(status, JSON.stringify(body)).to.equal(201);
    return body?.data.id as string;
  }
  const becomes = (id: string, state: string) =>
    waitFor(async () => (await user.call('GET', `/alerts/${id}`)).body?.data.state === state, {
      what: `the alert to be ${state}`,
    });
  const follow = (lastEventId?: string): Promise<SseReader> =>
    readSse(`${stack.apis[0]!.url}/api/v1/alerts/stream`, {
      headers: {
        authorization: `Bearer ${user.token}`,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
    });

  it('fire for a coin that nobody reads, as a signed webhook and on the stream', async () => {
    const stream = await follow();
    const id = await make({
      coin: 'ethereum',
      direction: 'below',
      threshold: '99999999',
      fire_if_true: true,
      repeat: 'every',
      url: `${receiver.url}/fired`,
    });
    const webhook = await waitFor(() => receiver.received[0], { what: 'the webhook' });
    const { body: shown } = await user.call('GET', '/webhooks/secret');
    const event = await verifyWebhook<{ alert: { id: string } }>(webhook, shown?.data.secret as string);
    expect([event.type, event.data.alert.id]).to.deep.equal(['alert.fired', id]);
    const [reported] = await waitFor(() => stream.dataOf('alert').length > 0 && stream.dataOf('alert'), {
      what: 'the event',
    });
    expect(reported).to.deep.equal(event.data);
    expect(reported.quote).to.include({ source: 'simulated', state: 'fresh' });
    stream.cut();
  });

  it('fire once for each crossing, though two processes watch and one of them is killed', async () => {
    receiver.received.length = 0;
    const id = await make({
      coin: 'paper',
      direction: 'above',
      threshold: 100,
      repeat: 'every',
      url: receiver.url,
    });
    const first = await follow();
    await waitFor(() => first.dataOf('hello').length > 0, { what: 'hello' });
    await waitFor(
      async () => {
        await feed.publish({ paper: 90 });
        return (await user.call('GET', `/alerts/${id}`)).body?.data.state === 'armed';
      },
      { what: 'the alert to be armed' },
    );
    await feed.publish({ paper: 101 });
    await becomes(id, 'fired');
    await feed.publish({ paper: 99.5 });
    await feed.publish({ paper: 102 });
    await waitFor(() => first.dataOf('alert').length > 0, { what: 'the event' });
    const position = first.events.find(({ event }) => event === 'alert')?.id;
    first.cut();
    await waitFor(() => receiver.received.length > 0, { what: 'the webhook' });
    stack.workers[0]!.kill('SIGKILL');
    await stack.workers[0]!.exited;
    await feed.publish({ paper: 90 });
    await becomes(id, 'armed');
    // It may not fire again for 10 seconds after the first firing.
    await waitFor(
      async () => {
        await feed.publish({ paper: 103 });
        return (await user.call('GET', `/alerts/${id}`)).body?.data.state === 'fired';
      },
      { what: 'the second firing', timeoutMs: 60_000 },
    );
    const second = await follow(position);
    await waitFor(() => second.dataOf('alert').length > 0, { what: 'what was missed' });
    const values = (events: readonly { value: string }[]): string[] => events.map(({ value }) => value);
    expect(values(first.dataOf('alert'))).to.deep.equal(['101']);
    expect(values(second.dataOf('alert'))).to.deep.equal(['103']);
    const { body } = await user.call('GET', `/alerts/firings?alert_id=${id}`);
    expect(values(body?.data.data as { value: string }[])).to.deep.equal(['103', '101']);
    // What the killed process had sent and not noted comes again under the same id.
    const reported = (): Map<unknown, string> =>
      new Map(receiver.received.map(({ headers, body: sent }) => [headers['webhook-id'], valueIn(sent)]));
    await waitFor(() => reported().size >= 2, { what: 'the webhooks' });
    expect([...reported().values()].sort()).to.deep.equal(['101', '103']);
    second.cut();
  });
});

function valueIn(body: string): string {
  return (JSON.parse(body) as { data: { value: string } }).data.value;
}
