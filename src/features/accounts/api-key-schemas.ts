import { z } from 'zod';
import { scopes } from '../../domain/scopes.ts';

const furthestDays = 3_650;

/** Body of `POST /api-keys`. */
export const keyBody = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(100, 'must have at most 100 characters')
    // What no log line and no terminal should be made to print.
    .regex(/^[^\p{Cc}\p{Cf}]*$/u, 'must not contain control characters'),
  scopes: z
    .array(z.enum(scopes, `must be one of ${scopes.join(', ')}`))
    .min(1, 'must name at least one scope')
    .max(scopes.length, `has more than ${scopes.length} elements`)
    .transform((given) => scopes.filter((scope) => given.includes(scope))),
  expires_in_days: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(furthestDays, `must be at most ${furthestDays}`)
    .optional()
    .meta({ description: 'Days until the key expires; never when absent' }),
  daily_quota: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(1_000_000_000, 'must be at most 1000000000')
    .optional()
    .meta({ description: 'Requests a day (UTC) that may be made with the key; any number when absent' }),
});

/** Path of one key. */
export const keyPath = z.object({ id: z.string() });
