/** The workers of webhooks and alerts, wired. A composition root like the main one. */
import type { WorkerParts } from './parts.ts';
import { createWebhookDeliver } from './processors/deliver-webhook.ts';
import { createWorker, type RunningWorker } from './runtime/create-worker.ts';

/** Deliveries under way at once. */
const webhooksConcurrency = 50;
/** An attempt may take longer than a usual lock lives (ms). */
const webhooksLockMs = 30_000;

/** Delivers webhooks. */
export function startWebhooks({ log, pipeline }: WorkerParts): RunningWorker {
  return createWorker({
    queue: 'webhooks',
    processors: { 'webhook.deliver': createWebhookDeliver() },
    redis: pipeline.openRedis('blocking', 'webhooks'),
    prefix: pipeline.keys.queues,
    concurrency: webhooksConcurrency,
    lockMs: webhooksLockMs,
    log,
  });
}
