import type { Processor } from '../runtime/processor.ts';

/** Makes one attempt to deliver a webhook. */
export function createWebhookDeliver(): Processor<'webhook.deliver'> {
  return () => Promise.reject(new Error('not built yet'));
}
