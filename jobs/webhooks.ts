import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/**
 * One attempt to deliver a webhook. Attempts, their times and their end live in the row of the delivery; the job only says
 * that it is time for one.
 */
export const webhookDeliver = defineJob<null>()({
  name: 'webhook.deliver',
  queue: 'webhooks',
  schema: z.object({ deliveryId: z.uuid() }),
  options: { attempts: 1, ...keepBriefly },
});

/** Looks for webhooks that are due and that Redis may have lost. */
export const webhooksCheck = defineJob<{ readonly added: number }>()({
  name: 'webhooks.check',
  queue: 'upkeep',
  every: 5_000,
  schema: z.object({}),
  options: { attempts: 1, ...keepBriefly },
});
