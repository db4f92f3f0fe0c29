import { z } from 'zod';
import { maxPasswordBytes } from './password-hashing.ts';

/** A user name: what may stand in a URL or a log line without quoting. */
export const username = z
  .string()
  .trim()
  .min(3, 'must have at least 3 characters')
  .max(50, 'must have at most 50 characters')
  .regex(/^[A-Za-z0-9._-]*$/, 'may contain letters, digits, ".", "_" and "-" only');

/** Looked at before letters become small: the Kelvin sign would become a k, and its owner somebody else. */
const onlyAscii = /^[\x20-\x7e]*$/;

/** An e-mail address, in lower case from here on. */
export const email = z
  .string()
  .trim()
  .max(254, 'must have at most 254 characters')
  .regex(onlyAscii, 'may contain ASCII characters only')
  .toLowerCase()
  .pipe(z.email('is not an e-mail address'));

/** A new password. */
export const newPassword = z
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

/** A password to be compared, whatever rules it was made under. */
export const givenPassword = z
  .string()
  .min(1, 'must not be empty')
  .max(1_000, 'must have at most 1000 characters');

/** Body of `POST /auth/register`. */
export const registerBody = z.strictObject({ username, email, password: newPassword });

/** Body of `POST /auth/login`. */
export const loginBody = z.strictObject({
  email: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(254, 'must have at most 254 characters')
    .regex(onlyAscii, 'may contain ASCII characters only')
    .toLowerCase(),
  password: givenPassword,
});

/** Body of `POST /auth/refresh`. */
export const refreshBody = z.strictObject({
  refresh_token: z.string().min(1, 'must not be empty').max(200, 'must have at most 200 characters'),
});
