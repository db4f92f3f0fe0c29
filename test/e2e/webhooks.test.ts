import { expect } from 'chai';
import { verifyWebhook } from '../../client/webhooks.ts';
import { apiClient, newUser, type ApiClient } from '../support/api-client.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

describe('webhooks, end to end', () => {
  let stack: Stack;
  let receiver: Receiver;
  let user: ApiClient;

  before(async function () {
    this.timeout(120_000);
    receiver = await startReceiver();
    stack = await startStack({ environment: { WEBHOOK_ALLOWED_NETWORKS: 'loopback' } });
    user = await newUser(stack.apis[0]!.url);
  });
  after(async () => {
    await stack.stop();
    await receiver.close();
  });
  beforeEach(() => (receiver.received.length = 0));

  const submit = async (body: object): Promise<string> => {
    const answer = await user.call('POST', '/crypto/bulk', { body });
    expect(answer.status, JSON.stringify(answer.body)).to.equal(202);
    return answer.body?.data.id as string;
  };
  const received = (id: string) =>
    waitFor(() => receiver.received.find(({ headers }) => headers['webhook-id'] === id), {
      what: 'the webhook',
    });

  it('tell the end of a job, with its result, signed with the secret of its owner', async () => {
    const { body: shown } = await user.call('GET', '/webhooks/secret');
    const id = await submit({ coins: ['bitcoin'], callback_url: `${receiver.url}/job?of=me` });
    const webhook = await received(id);
    expect(webhook.path).to.equal('/job?of=me');
    const event = await verifyWebhook(webhook, shown?.data.secret as string);
    expect(event.type).to.equal('job.completed');
    const { body: job } = await user.call('GET', `/jobs/${id}`);
    expect(event.data).to.deep.equal(job?.data);
    expect(job?.data.result.success_count).to.equal(1);

    const delivered = await waitFor(
      async () => {
        const { body } = await user.call('GET', `/webhooks/deliveries/${id}`);
        return body?.data.state === 'delivered' ? body.data : undefined;
      },
      { what: 'the delivery to be noted' },
    );
    expect(delivered).to.include({ attempts: 1, last_status: 204, job: `/api/v1/jobs/${id}` });
    expect(receiver.received).to.have.length(1);
    const metrics = await (await fetch(`${stack.apis[0]!.url}/metrics`)).text();
    expect(metrics).to.match(/webhook_attempts_total\{outcome="delivered"\} [1-9]/);
  });

  it('tell that a job was cancelled, and are not known to others', async () => {
    stack.market.inject('hang', { count: Infinity });
    const id = await submit({ coins: ['sim-00042'], callback_url: receiver.url });
    await user.call('DELETE', `/jobs/${id}`);
    const webhook = await received(id);
    expect(JSON.parse(webhook.body)).to.deep.include({ type: 'job.cancelled' });
    const other = await newUser(stack.apis[0]!.url);
    expect((await other.call('GET', `/webhooks/deliveries/${id}`)).status).to.equal(404);
    expect((await apiClient(stack.apis[0]!.url).call('GET', '/webhooks/deliveries')).status).to.equal(401);
  });
});
