/** What requests about accounts and access may say. */
import { z } from 'zod';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { NotFoundError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import { scopes } from '../../domain/scopes.ts';
import { pageNumber, pageSize } from '../../platform/http/fields.ts';
import { maxPasswordBytes } from './password-hashing.ts';
import { auditTypes } from './queries/audit.ts';

/** A user name: what may stand in a URL or a log line without quoting. */
const username = z
  .string()
  .trim()
  .min(3, 'must have at least 3 characters')
  .max(50, 'must have at most 50 characters')
  .regex(/^[A-Za-z0-9._-]*$/, 'may contain letters, digits, ".", "_" and "-" only')
  .meta({ description: '3 to 50 letters, digits, ".", "_" and "-"' });

/** Looked at before letters become small: the Kelvin sign would become a k, and its owner somebody else. */
const onlyAscii = /^[\x20-\x7e]*$/;

/** An e-mail address, in lower case from here on. */
const email = z
  .string()
  .trim()
  .max(254, 'must have at most 254 characters')
  .regex(onlyAscii, 'may contain ASCII characters only')
  .toLowerCase()
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
  .refine((text) => !text.includes('\0'), 'must not contain NUL characters')
  .meta({ description: 'At least 8 characters, including a letter and a digit; at most 72 bytes' });

/** A password to be compared, whatever rules it was made under. */
const givenPassword = z.string().min(1, 'must not be empty').max(1_000, 'must have at most 1000 characters');

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

/** Body of `POST /auth/password`. */
export const passwordChangeBody = z.strictObject({ current_password: givenPassword, password: newPassword });

/** Body of `POST /auth/password/forgot`. */
export const forgotBody = z.strictObject({ email });

/** Body of `POST /auth/password/reset`. */
export const resetBody = z.strictObject({
  token: z.string().min(1, 'must not be empty').max(200, 'must have at most 200 characters'),
  password: newPassword,
});

const paging = { page: pageNumber, limit: pageSize({ usual: 20, max: 100 }) };
const role = z.enum(['user', 'admin']);

/** Query of `GET /users`. */
export const usersQuery = z.strictObject(paging);

/** Query of `GET /admin/audit`. */
export const auditQuery = z.strictObject({
  ...paging,
  type: z.enum(auditTypes).optional().meta({ description: 'Only events of this kind' }),
  user: z
    .uuid('is not the id of a user')
    .toLowerCase()
    .optional()
    .meta({ description: 'Only events about the user with this id' }),
});

/** Path of `/users/:id`. */
export const userPath = z.object({
  id: z.string().meta({ description: 'Id of the user (UUID), or me for yourself' }),
});

const uuid = z.uuid();

/**
 * The id in a user's path; `me` is the caller.
 * @throws {NotFoundError} it is not a UUID, so there is no such user.
 */
export function userIdOf({ id }: z.output<typeof userPath>, viewer: Principal): string {
  if (id === 'me') return viewer.userId;
  if (!uuid.safeParse(id).success) throw new NotFoundError('User not found', 'user_not_found');
  return id.toLowerCase();
}

/** Body of `POST /users`. */
export const newUserBody = z.strictObject({
  username,
  email,
  password: newPassword,
  role: role.default('user'),
});

/** Body of `DELETE /users/:id`. */
export const removalBody = z.strictObject({
  current_password: givenPassword
    .optional()
    .meta({ description: 'Your password; required to delete your own account' }),
});

/** Body of `PUT /users/:id`: a closed list, and at least one change. */
export const userChangesBody = z
  .strictObject({
    username: username.optional(),
    email: email.optional(),
    role: role.optional(),
    current_password: givenPassword
      .optional()
      .meta({ description: 'Your password; required to change your own e-mail' }),
  })
  .refine(
    (body) => body.username !== undefined || body.email !== undefined || body.role !== undefined,
    'must change at least one of username, email and role',
  );

const furthestDays = 3_650;

/** Body of `POST /api-keys`. */
export const keyBody = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(100, 'must have at most 100 characters')
    // What no log line and no terminal should be made to print.
    .regex(/^[^\p{Cc}\p{Cf}]*$/u, 'must not contain control characters')
    .meta({ description: 'A name for the key, for you to recognise it' }),
  scopes: z
    .array(z.enum(scopes, `must be one of ${scopes.join(', ')}`))
    .min(1, 'must name at least one scope')
    .max(scopes.length, `has more than ${scopes.length} elements`)
    .transform((given) => scopes.filter((scope) => given.includes(scope)))
    .meta({ description: 'What the key may do; only admins can give the scope admin' }),
  expires_in_days: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(furthestDays, `must be at most ${furthestDays}`)
    .optional()
    .meta({ description: 'Days until the key expires; absent: never' }),
  daily_quota: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(1_000_000_000, 'must be at most 1000000000')
    .optional()
    .meta({ description: 'Requests per day (UTC) allowed with the key; absent: no limit' }),
});

/** Path of one key. */
export const keyPath = z.object({ id: z.string().meta({ description: 'Id of the API key (UUID)' }) });

const dayMs = 86_400_000;
/** Days that an answer covers when the request names none. */
const usualDays = 30;
const maxDays = 366;

const rule = 'must be a day such as 2026-01-31';
/** Postgres knows no year 0, and there is no usage from before this program. */
const firstDay = '2000-01-01';

const day = z.iso
  .date(rule)
  .refine((text) => text >= firstDay, `must not be before ${firstDay}`)
  .optional();
const days = {
  from: day.meta({
    description: `First UTC day, YYYY-MM-DD; absent: ${usualDays} days up to the last one`,
    examples: ['2026-01-31'],
  }),
  to: day.meta({ description: 'Last UTC day, YYYY-MM-DD; absent: today', examples: ['2026-01-31'] }),
};

interface Days {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** The first and the last day asked for: until today, and for 30 days, where one is not given. */
function wholeRange(given: Days, today: string): { from: string; to: string } {
  const to = given.to ?? (given.from === undefined ? today : later(given.from, today));
  const from = given.from ?? dayOf(Date.parse(to) - (usualDays - 1) * dayMs);
  return { from, to };
}

function later(one: string, other: string): string {
  return one > other ? one : other;
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function rangeOf(given: Days, today: string, ctx: z.core.$RefinementCtx): { from: string; to: string } {
  const range = wholeRange(given, today);
  const days = (Date.parse(range.to) - Date.parse(range.from)) / dayMs + 1;
  if (days < 1) ctx.addIssue({ code: 'custom', path: ['to'], message: 'must not be before from' });
  if (days > maxDays) {
    ctx.addIssue({ code: 'custom', path: ['from'], message: `must be at most ${maxDays} days before to` });
  }
  return range;
}

/** Query of `GET /usage`. */
export const usageQuery = (clock: Clock) =>
  z.strictObject(days).transform((given, ctx) => rangeOf(given, dayOf(clock.now()), ctx));

/** Query of `GET /admin/usage`. */
export const allUsageQuery = (clock: Clock) =>
  z.strictObject({ ...days, ...paging }).transform(({ page, limit, ...given }, ctx) => ({
    page,
    limit,
    ...rangeOf(given, dayOf(clock.now()), ctx),
  }));
