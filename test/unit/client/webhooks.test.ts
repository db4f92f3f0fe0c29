import { expect } from 'chai';
import { verifyWebhook, WebhookVerificationError } from '../../../client/webhooks.ts';
import { createSigner } from '../../../src/features/webhooks/signature.ts';

/** The example of the reference libraries of Standard Webhooks. */
const example = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  body: '{"test": 2432232314}',
  headers: {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  },
};
const now = (): number => 1_614_265_330_000;

async function refusal(
  different: Partial<typeof example> = {},
  headers: Partial<(typeof example)['headers']> = {},
  at = now,
): Promise<string> {
  const { secret, body } = { ...example, ...different };
  try {
    await verifyWebhook({ body, headers: { ...example.headers, ...headers } }, secret, { now: at });
    return 'verified';
  } catch (error) {
    expect(error).to.be.instanceOf(WebhookVerificationError);
    return (error as Error).message;
  }
}

describe('verifying a webhook', () => {
  it('takes the example of Standard Webhooks, with headers of either kind', async () => {
    const { body, headers, secret } = example;
    expect(await verifyWebhook({ body, headers }, secret, { now })).to.deep.equal({ test: 2_432_232_314 });
    expect(await verifyWebhook({ body, headers: new Headers(headers) }, secret, { now })).to.deep.equal({
      test: 2_432_232_314,
    });
  });

  it('takes what the server signs, after a rotation with the old secret and the new one', async () => {
    const signer = createSigner(['s'.repeat(32)]);
    const userId = 'u';
    const body = '{"type":"x","timestamp":"t","data":{"text":"ü"}}';
    const message = { id: 'm', timestamp: 1_614_265_330, body };
    const headers = signer.headersOf(message, { userId, generation: 3, rotatedAt: new Date(now() - 1) });
    for (const generation of [2, 3]) {
      const secret = signer.secretOf({ userId, generation });
      expect(await verifyWebhook({ body, headers }, secret, { now })).to.have.property('type', 'x');
    }
    const void_ = signer.secretOf({ userId, generation: 1 });
    expect(await refusal({ secret: void_, body }, headers)).to.equal('no signature matches');
  });

  it('refuses another body, id, time, secret or signature', async () => {
    const none = 'no signature matches';
    expect(await refusal({ body: '{"test": 2432232315}' })).to.equal(none);
    expect(await refusal({}, { 'webhook-id': 'msg_other' })).to.equal(none);
    expect(await refusal({}, { 'webhook-timestamp': '1614265331' })).to.equal(none);
    expect(await refusal({ secret: 'whsec_AAAA' })).to.equal(none);
    for (const odd of ['v1,', 'v1', 'v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'v1,%%%', ','])
      expect(await refusal({}, { 'webhook-signature': odd }), odd).to.equal(none);
  });

  it('refuses what is older or younger than five minutes', async () => {
    const off = (seconds: number) => () => now() + seconds * 1000;
    expect(await refusal({}, {}, off(299))).to.equal('verified');
    expect(await refusal({}, {}, off(301))).to.equal('webhook-timestamp is too far from now');
    expect(await refusal({}, {}, off(-301))).to.equal('webhook-timestamp is too far from now');
  });

  it('says what is missing', async () => {
    for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature'])
      expect(await refusal({}, { [name]: undefined })).to.equal(`the header ${name} is missing`);
    expect(await refusal({}, { 'webhook-timestamp': 'soon' })).to.equal(
      'webhook-timestamp is not a Unix time',
    );
    expect(await refusal({ secret: 'whsec_' })).to.equal('the secret must be whsec_ followed by base64');
  });
});
