import { expect } from 'chai';
import { createHmac } from 'node:crypto';
import {
  createSigner,
  rotationOverlapMs,
  serverSecretsOf,
  signatureOf,
} from '../../../src/features/webhooks/signature.ts';

const owner = { userId: '01934c2a-0000-7000-8000-000000000001', generation: 0, rotatedAt: null };
const message = { id: 'msg', timestamp: 1_700_000_000, body: '{"a":1}' };

/** The signatures that a receiver with this secret looks for. */
function expected(secret: string): string {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const text = `${message.id}.${message.timestamp}.${message.body}`;
  return `v1,${createHmac('sha256', key).update(text).digest('base64')}`;
}

describe('the signature of a webhook', () => {
  it('is that of the example of Standard Webhooks', () => {
    // That of its reference libraries: https://github.com/standard-webhooks/standard-webhooks
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const signature = signatureOf(key, {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: 1_614_265_330,
      body: '{"test": 2432232314}',
    });
    expect(signature).to.equal('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('is made with the secret that its owner is shown', () => {
    const signer = createSigner(['s'.repeat(32)]);
    const headers = signer.headersOf(message, owner);
    expect(headers).to.deep.equal({
      'webhook-id': 'msg',
      'webhook-timestamp': '1700000000',
      'webhook-signature': expected(signer.secretOf(owner)),
    });
  });

  it('needs a secret of 32 bytes that no other user and no other server has', () => {
    const signer = createSigner(['s'.repeat(32)]);
    const secrets = [
      signer.secretOf(owner),
      signer.secretOf({ ...owner, generation: 1 }),
      signer.secretOf({ ...owner, userId: owner.userId.replace('1', '2') }),
      createSigner(['t'.repeat(32)]).secretOf(owner),
    ];
    expect(new Set(secrets)).to.have.property('size', 4);
    for (const secret of secrets) expect(Buffer.from(secret.slice(6), 'base64')).to.have.length(32);
  });

  it('is made with the secret before a rotation too, for a day', () => {
    const signer = createSigner(['s'.repeat(32)]);
    const old = signer.secretOf(owner);
    const rotatedAt = new Date(message.timestamp * 1000 - rotationOverlapMs + 1_000);
    const rotated = { ...owner, generation: 1, rotatedAt };
    const both = signer.headersOf(message, rotated)['webhook-signature']?.split(' ');
    expect(both).to.deep.equal([expected(signer.secretOf(rotated)), expected(old)]);

    const dayLater = { ...rotated, rotatedAt: new Date(message.timestamp * 1000 - rotationOverlapMs) };
    const one = signer.headersOf(message, dayLater)['webhook-signature'];
    expect(one).to.equal(expected(signer.secretOf(rotated)));
  });

  it('is made with the server’s secret before a change too', () => {
    const old = createSigner(['o'.repeat(32)]).secretOf(owner);
    const signer = createSigner(['n'.repeat(32), 'o'.repeat(32)]);
    expect(signer.headersOf(message, owner)['webhook-signature']?.split(' ')).to.deep.equal([
      expected(signer.secretOf(owner)),
      expected(old),
    ]);
    expect(signer.secretOf(owner)).to.not.equal(old);
  });

  it('does not hang on JWT_SECRET where WEBHOOK_SECRET is given', () => {
    const jwt = { JWT_SECRET: 'j', JWT_SECRET_PREVIOUS: 'p' };
    expect(serverSecretsOf({ WEBHOOK_SECRET: 'w', ...jwt })).to.deep.equal(['w']);
    expect(serverSecretsOf({ WEBHOOK_SECRET: undefined, ...jwt })).to.deep.equal(['j', 'p']);
  });
});
