import { z } from 'zod';
import { defineJob, keepBriefly } from './contract.ts';

/**
 * Mails a token that resets a password, if there is an account with this address. The token is made when the mail is sent: a
 * secret has no place in the data of a job.
 */
export const passwordResetMail = defineJob<{ readonly sent: boolean }>()({
  name: 'password-reset.mail',
  queue: 'mail',
  schema: z.object({
    email: z.string(),
    /** From where, and in which request, it was asked for: for the audit log. */
    address: z.string().optional(),
    requestId: z.string().optional(),
  }),
  options: { attempts: 5, backoff: { type: 'exponential', delay: 2_000, jitter: 0.5 }, ...keepBriefly },
});
