/** The figures of webhooks, as the metrics show them. */
import { expect } from 'chai';
import { createWebhooksModule } from '../../../src/features/webhooks/module.ts';
import { createMetrics } from '../../../src/platform/observability/metrics-registry.ts';

describe('the metrics of webhooks', () => {
  it('tell what waits and was given up, and the attempts of the fleet by what they came to', async () => {
    const metrics = createMetrics();
    const redis = {
      hgetall: (key: string) => Promise.resolve(key === 'attempts' ? { delivered: '12', dead: '3' } : {}),
    };
    const deliveries = { countByState: () => Promise.resolve({ pending: 7, dead: 2 }) };
    const services = { webhooks: { deliveries }, access: {} };
    const module = createWebhooksModule(
      { redis, keys: { webhookAttempts: 'attempts' } } as never,
      services as never,
    );
    module.metrics?.(metrics);
    const text = await metrics.text();
    const value = (name: string, label: string): string | undefined =>
      new RegExp(`${name}\\{[^}]*="${label}"[^}]*\\} (.*)`).exec(text)?.[1];
    expect([value('webhook_deliveries', 'pending'), value('webhook_deliveries', 'dead')]).to.deep.equal([
      '7',
      '2',
    ]);
    expect(value('webhook_attempts_total', 'delivered')).to.equal('12');
    expect(value('webhook_attempts_total', 'dead')).to.equal('3');
  });
});
