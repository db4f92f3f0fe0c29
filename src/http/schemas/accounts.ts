import { z } from 'zod';
import { maxPasswordBytes } from '../../auth/passwords.ts';

/** A user name: what may stand in a URL or a log line without quoting. */
const username = z
  .string()
  .trim()
  .min(3, 'must have at least 3 characters')
  .max(50, 'must have at most 50 characters')
  .regex(/^[A-Za-z0-9._-]*$/, 'may contain letters, digits, ".", "_" and "-" only');

/** An e-mail address, in lower case from here on. */
const email = z
  .string()
  .trim()
  .toLowerCase()
  .max(254, 'must have at most 254 characters')
  .pipe(z.email('is not an e-mail address'));

/** A new password. */
const newPassword = z
  .string()
  .min(8, 'must have at least 8 characters')
  .refine(
    (text) => Buffer.byteLength(text) <= maxPasswordBytes,
    `must have at most ${maxPasswordBytes} bytes in UTF-8`,
  )
  .refine((text) => /\p{L}/u.test(text) && /\p{N}/u.test(text), 'must contain a letter and a digit')
  // bcrypt ends a password at the first zero byte.
  .refine((text) => !text.includes('\0'), 'must not contain a zero character')
  .meta({ description: 'At least 8 characters, a letter and a digit among them; at most 72 bytes' });

/** Body of `POST /auth/register`. */
export const registerBody = z.strictObject({ username, email, password: newPassword });

/** Body of `POST /auth/login`. */
export const loginBody = z.strictObject({
  email: z
    .string()
    .trim()
    .toLowerCase()
    .min(1, 'must not be empty')
    .max(254, 'must have at most 254 characters'),
  password: z.string().min(1, 'must not be empty').max(1_000, 'must have at most 1000 characters'),
});
