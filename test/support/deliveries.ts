/** A worker that delivers webhooks to this machine, with pauses that a test can wait for. */
import type { Redis } from 'ioredis';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createAddressGuard } from '../../src/features/webhooks/address-guard.ts';
import { createSend } from '../../src/features/webhooks/send.ts';
import { createSigner } from '../../src/features/webhooks/signature.ts';
import { createTargets } from '../../src/features/webhooks/target.ts';
import { createAttemptSlots } from '../../src/features/webhooks/attempt-limits.ts';
import { createWebhookDeliver, type DeliverDeps } from '../../workers/processors/webhooks/deliver-webhook.ts';
import { createWorker, type RunningWorker } from '../../workers/runtime/create-worker.ts';

/** Signs what {@link startDeliveries} sends. */
export const signer = createSigner(['a secret of the tests, of some length']);

const guard = createAddressGuard(['127.0.0.1']);
const targets = createTargets({ isHttpAllowed: true, guard });
const log = silentLogger();

interface Deliveries extends Pick<DeliverDeps, 'findJob'> {
  readonly webhooks: Omit<DeliverDeps['webhooks'], 'signer'>;
  /** A `blocking` connection. */
  readonly redis: Redis;
  readonly prefix: string;
  readonly pausesMs: readonly number[];
  readonly perHost: number;
}

/** Starts it; an attempt may take a second. */
export function startDeliveries({
  webhooks,
  redis,
  prefix,
  pausesMs,
  perHost,
  ...deps
}: Deliveries): RunningWorker {
  const deliver = createWebhookDeliver({
    ...deps,
    webhooks: { ...webhooks, signer },
    clock: systemClock,
    log,
    send: createSend({ guard, targets, totalMs: 1_000 }),
    slots: createAttemptSlots({ perHost, perUser: 30, now: () => performance.now() }),
    rules: { pausesMs, random: () => 0 },
    count: () => undefined,
  });
  const processors = { 'webhook.deliver': deliver };
  return createWorker({ queue: 'webhooks', processors, redis, prefix, concurrency: 200, log });
}
