/** What the messages of WebSocket clients must look like. */
import { z } from 'zod';
import {
  longestMessageId,
  mostCoins,
  mostJobs,
  tooManyCoins,
  tooManyJobs,
  type ClientMessage,
} from './ws-messages.ts';
import { validate } from '../http/validate.ts';
import { boundedArray, coin, currency } from '../http/fields.ts';

const id = z.string().max(longestMessageId, `must be at most ${longestMessageId} characters`).optional();
const longestEventId = 64;
const longestIntervalSeconds = 3_600;

const distinct = (ids: readonly string[]): string[] => [...new Set(ids)];
const coins = boundedArray(coin, mostCoins).transform(distinct).optional();
const jobId = z.uuid('is not the id of a job').transform((text) => text.toLowerCase());
const jobs = boundedArray(jobId, mostJobs).transform(distinct).optional();
const interval = z
  .int('must be a whole number of seconds')
  .min(1, 'must be at least 1')
  .max(longestIntervalSeconds, `must be at most ${longestIntervalSeconds}`)
  .default(1);

const subscribe = z.strictObject({
  action: z.literal('subscribe'),
  id,
  coins,
  jobs,
  currency,
  interval,
  last_event_ids: z
    .record(jobId, z.string().max(longestEventId, `must be at most ${longestEventId} characters`))
    .optional(),
});
const unsubscribe = z.strictObject({ action: z.literal('unsubscribe'), id, coins, jobs, currency });
const ping = z.strictObject({ action: z.literal('ping'), id });
const ticket = z.strictObject({ action: z.literal('ticket'), id });

const message = z
  .discriminatedUnion('action', [subscribe, unsubscribe, ping, ticket], {
    error: 'must be an object with the action subscribe, unsubscribe, ping or ticket',
  })
  .superRefine((asked, ctx) => {
    if (asked.action === 'ping' || asked.action === 'ticket') return;
    if (asked.coins === undefined && asked.jobs === undefined)
      ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give coins or jobs' });
  });

/** More than a connection may ever have is told as such, and not as a rule of one field; the elements are not looked at. */
function refuseTooMany(given: unknown): void {
  if (typeof given !== 'object' || given === null) return;
  if ('coins' in given && Array.isArray(given.coins) && given.coins.length > mostCoins) throw tooManyCoins();
  if ('jobs' in given && Array.isArray(given.jobs) && given.jobs.length > mostJobs) throw tooManyJobs();
}

/**
 * Checks a message.
 * @throws {AppError} `too_many_coins` or `too_many_jobs`, or a {@link ValidationError} that names every field that breaks a rule.
 */
export function readMessage(given: unknown): ClientMessage {
  refuseTooMany(given);
  const [checked] = validate([{ schema: message, given, prefix: '' }]);
  const asked = checked as z.output<typeof message>;
  if (asked.action === 'ping' || asked.action === 'ticket') return asked;
  const lists = { coins: asked.coins ?? [], jobs: asked.jobs ?? [] };
  if (asked.action === 'unsubscribe') return { ...asked, ...lists };
  return { ...asked, ...lists, lastEventIds: new Map(Object.entries(asked.last_event_ids ?? {})) };
}
